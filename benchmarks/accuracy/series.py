"""The files of the series: in `shared/data` in or beside the checkout, or made from a package that has them."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.accuracy.files import found
from jax_lstm.checks import require_extra

SOURCES = {  # of files that are not part of the project
    "ETTh1.csv": "https://github.com/zhouhaoyi/ETDataset (CC BY-ND 4.0)",
    "airline_passengers.csv": "Box and Jenkins 1976, series G",
    "exchange_rate.csv": "https://github.com/laiguokun/multivariate-time-series-data",
    "nyc_taxi.csv": "https://github.com/numenta/NAB",
    "bike_sharing.csv": "https://archive.ics.uci.edu/dataset/275",
}


@cache
def file_of(name: str) -> Path:
    if name in SOURCES:
        path = found(name, f"{name.partition('.')[0].upper()}_CSV", SOURCES[name])
        return _with_names(path) if name == "exchange_rate.csv" else path
    path = Path(_folder().name, name)
    _packaged(name).to_csv(path, index=False)
    return path


def _packaged(name: str) -> Any:
    """The table of a package as a DataFrame."""
    if name == "pbs.csv":
        series = require_extra("sktime.datasets", "bench", "PBS").load_PBS_dataset()
        return series.to_timestamp().rename("scripts").rename_axis("date").reset_index()
    datasets = require_extra("statsmodels.datasets", "bench", name)
    if name == "co2.csv":
        return datasets.co2.load_pandas().data.rename_axis("date").reset_index()
    return datasets.sunspots.load_pandas().data.astype({"YEAR": int})


def _with_names(path: Path) -> Path:
    """The exchange rates' file has no line of names."""
    import pandas

    named = Path(_folder().name, path.name)
    pandas.read_csv(path, header=None).rename(columns="c{}".format).to_csv(named, index=False)
    return named


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Removed at the end of the process."""
    return tempfile.TemporaryDirectory()
