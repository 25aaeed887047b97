"""What data to read and how to cut it into windows."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from jax_lstm.checks import InputError, require, require_size


@dataclass(frozen=True)
class DataConfig:
    """Data: which file, which columns, which windows."""

    csv: str = ""
    """CSV file (or .csv.gz) with a header line; the packaged New York weather if not given."""
    target: tuple[str, ...] = ()
    """Column to forecast, or several; `temp` for the packaged weather."""
    features: tuple[str, ...] = ()
    """Columns that the model reads; all but time and group if not given."""
    time: str = ""
    """Column of ISO 8601 timestamps on a regular grid; without it, rows are taken as successive."""
    group: str = ""
    """Column that names the series a row belongs to; without it, the file is one series."""
    window: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 48
    """Rows that the model reads before each forecast."""
    horizon: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 12
    """Rows that it forecasts."""
    split: str = "0.7,0.1,0.2"
    """Training, validation and test part of each series, in time order: fractions, or numbers of rows."""
    season: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 24
    """Rows in one season, for the seasonal-naive baseline."""

    def __post_init__(self) -> None:
        for name in ("window", "horizon", "season"):
            require_size(f"--{name}", getattr(self, name))
        parse_split(self.split)
        if not self.csv:
            for name in ("time", "group"):
                require(not getattr(self, name), f"--{name}", "come with --csv", repr(getattr(self, name)))
        else:
            require(bool(self.target), "--target", "name the column of --csv to forecast", "nothing")
        for name in ("target", "features"):
            columns = getattr(self, name)
            require(len(set(columns)) == len(columns), f"--{name}", "name each column once", " ".join(columns))


def parse_split(text: str) -> tuple[int, int, int] | tuple[float, float, float]:
    """`"8640,2880,2880"` as rows, `"0.7,0.1,0.2"` as fractions; the last two may be zero."""
    expected = "be three numbers of rows, as 8640,2880,2880, or three fractions of at most 1 in all, as 0.7,0.1,0.2"
    try:
        number = float if "." in text else int
        train, val, test = (number(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"`--split` must {expected}; got {text!r}") from None
    fits = train > 0 and val >= 0 and test >= 0 and (number is int or train + val + test <= 1 + 1e-9)
    require(fits, "--split", expected, repr(text))
    return train, val, test
