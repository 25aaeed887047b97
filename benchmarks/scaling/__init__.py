"""The communication of a training step between devices, from the compiled program, without running it."""
