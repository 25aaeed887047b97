"""Our kernels on an accelerator, compared with PyTorch's LSTM and with the limits of the device."""
