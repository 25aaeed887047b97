"""`jax-lstm` in a process of its own."""

import sys

# Without pictures, which take as long as all the rest of a small run.
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; sys.modules['matplotlib.figure'] = None; from jax_lstm.cli import main; sys.exit(main())",
]
