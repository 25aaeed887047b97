"""The benchmarks: `python -m benchmarks`, from a checkout.

Python finds the checkout's `jax_lstm` first, which has no compiled kernel without `pip install -e`. If the package is
installed elsewhere, that one is measured.
"""

import os
import sys
from importlib.metadata import distributions
from pathlib import Path


def _prefer_the_installed() -> None:
    checkout = Path(__file__).resolve().parents[1]
    if "jax_lstm" in sys.modules or str(checkout) in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        return
    for found in distributions(name="jax-lstm"):
        folder = Path(str(found.locate_file(""))).resolve()  # building leaves metadata in the checkout too
        if folder != checkout and (folder / "jax_lstm" / "__init__.py").is_file():
            sys.path.insert(0, str(folder))
            return


_prefer_the_installed()
