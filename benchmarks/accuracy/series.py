"""The files of the series: in `shared/data` in or beside the checkout, or made from a package that has them."""

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.core.machine import ROOT
from jax_lstm.checks import InputError, require_extra

SOURCES = {  # of files that are not part of the project
    "ETTh1.csv": "https://github.com/zhouhaoyi/ETDataset (CC BY-ND 4.0)",
    "airline_passengers.csv": "Box and Jenkins 1976, series G",
    "exchange_rate.csv": "https://github.com/laiguokun/multivariate-time-series-data",
    "nyc_taxi.csv": "https://github.com/numenta/NAB",
    "bike_sharing.csv": "https://archive.ics.uci.edu/dataset/275",
}
TEXT = "tinyshakespeare.txt"


def text_file() -> Path:
    return _found(TEXT, "TINYSHAKESPEARE", "https://github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt")


@cache
def file_of(name: str) -> Path:
    """The file of a series."""
    if name in SOURCES and name != "exchange_rate.csv":
        return _source(name)
    path = Path(_folder().name, name)
    _table(name).to_csv(path, index=False)
    return path


def _table(name: str) -> Any:
    """A series as a DataFrame."""
    if name == "exchange_rate.csv":  # which has no line of names
        import pandas

        return pandas.read_csv(_source(name), header=None).rename(columns="c{}".format)
    if name == "pbs.csv":
        series = require_extra("sktime.datasets", "bench", "PBS").load_PBS_dataset()
        return series.to_timestamp().rename("scripts").rename_axis("date").reset_index()
    datasets = require_extra("statsmodels.datasets", "bench", name)
    if name == "co2.csv":
        return datasets.co2.load_pandas().data.rename_axis("date").reset_index()
    return datasets.sunspots.load_pandas().data.astype({"YEAR": int})


def _source(name: str) -> Path:
    return _found(name, f"{name.partition('.')[0].upper()}_CSV", SOURCES[name])


def _found(name: str, variable: str, source: str) -> Path:
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


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Removed at the end of the process."""
    return tempfile.TemporaryDirectory()
