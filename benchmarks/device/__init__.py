"""What an accelerator makes of our kernels, beside PyTorch's LSTM and beside what the device can do at all."""
