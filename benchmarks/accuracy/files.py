"""Find data that is not part of the project."""

import os
from pathlib import Path

from benchmarks.core.record import ROOT
from jax_lstm.checks import InputError


def found(name: str, variable: str, source: str) -> Path:
    """The file `name`: the path in the environment variable, or `shared/data` in or beside the checkout.

    Raises:
        InputError: it was not found; the message gives its source.
    """
    named = os.environ.get(variable)
    places = [Path(named)] if named else [folder / "shared" / "data" / name for folder in (ROOT, ROOT.parent)]
    for place in places:
        if place.is_file():
            return place
    where = " or ".join(os.path.relpath(place, ROOT) for place in places)
    raise InputError(f"{name}: not found at {where}; get it from {source}, say {variable}=FILE")
