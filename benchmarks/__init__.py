"""The benchmarks: `python -m benchmarks`, from a checkout.

Python finds the checkout's `jax_lstm` first, which has no compiled kernel without `pip install -e`. If the package is
installed elsewhere, that one is measured.
"""

import os
import sys
from importlib.metadata import distributions
from pathlib import Path


def _prefer_the_installed() -> None:
    checkout = str(Path(__file__).parents[1])
    if "jax_lstm" in sys.modules or checkout in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        return
    for found in distributions(name="jax-lstm"):
        folder = str(found.locate_file(""))
        if folder != checkout and Path(folder, "jax_lstm", "__init__.py").is_file():
            sys.path.insert(0, folder)
            return


_prefer_the_installed()
