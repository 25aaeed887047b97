"""Communication between the devices of a training step, from the compiled program; nothing is run."""
