"""Weights in and out: PyTorch's state dicts, files, and the LSTM layers of other frameworks."""
