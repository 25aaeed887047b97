"""Data that does not come with the project: where it lies."""

import os
from pathlib import Path

from benchmarks.record import ROOT
from jax_lstm.checks import InputError


def found(name: str, variable: str, source: str) -> Path:
    """The file `name`: what the environment variable names, or `shared/data` beside or above the checkout.

    Raises:
        InputError: it is nowhere; the message says where it comes from.
    """
    named = os.environ.get(variable)
    places = [Path(named)] if named else [folder / "shared" / "data" / name for folder in (ROOT, ROOT.parent)]
    for place in places:
        if place.is_file():
            return place
    where = " or ".join(os.path.relpath(place, ROOT) for place in places)
    raise InputError(f"{name}: not found at {where}; get it from {source}, say {variable}=FILE")
