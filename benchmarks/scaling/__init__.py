"""What the devices of a training step send each other, from the compiled program; nothing is run."""
