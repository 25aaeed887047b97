"""Import and export weights: PyTorch state dicts, files, and LSTM layers of other frameworks."""
