"""Options of series: file, columns, windows."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from jax_lstm.checks import InputError, require, require_size

STREAMED = "rows count as consecutive, and each file of a folder as a series"


@dataclass(frozen=True)
class DataConfig:
    """Data: file, columns, windows."""

    csv: str = ""
    """Series to read: a .csv or .csv.gz file with a header, .parquet, .npy, .npz, or a folder of such files, one per
    series (default: the packaged New York weather)."""
    target: tuple[str, ...] = ()
    """One or more columns to forecast (packaged weather: `temp`)."""
    features: tuple[str, ...] = ()
    """Columns that the model reads (default: all but time and group)."""
    time: str = ""
    """Column of ISO 8601 timestamps on a regular grid; without it, rows count as consecutive."""
    group: str = ""
    """Column with the name of each row's series; without it, the file is one series."""
    window: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 48
    """Rows that the model reads for a forecast."""
    horizon: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 12
    """Rows to forecast."""
    split: str = "0.7,0.1,0.2"
    """Training, validation and test part of each series, in time order, as fractions or numbers of rows."""
    season: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 24
    """Rows per season, for the seasonal-naive baseline."""
    stream: bool = False
    """Leave the rows on disk and read each batch when it is needed; for .npy and .npz files and folders of them."""
    epoch_windows: Annotated[int, tyro.conf.arg(metavar="WINDOWS")] = 0
    """With --stream, the largest number of windows per epoch, drawn anew each epoch; 0 means all."""
    eval_windows: Annotated[int, tyro.conf.arg(metavar="WINDOWS")] = 4096
    """With --stream, the largest number of windows of each part to score; they are evenly spaced and kept in memory."""

    def __post_init__(self) -> None:
        for name in ("window", "horizon", "season"):
            require_size(f"--{name}", getattr(self, name))
        require_size("--eval-windows", self.eval_windows)
        require_size("--epoch-windows", self.epoch_windows, least=0)
        require(self.stream or not self.epoch_windows, "--epoch-windows", "come with --stream", self.epoch_windows)
        require(not self.stream or bool(self.csv), "--stream", "come with --csv", "no --csv")
        for name in ("time", "group"):
            given = getattr(self, name)
            require(not self.stream or not given, f"--{name}", "be left out with --stream", repr(given), STREAMED)
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
    """Parse `"8640,2880,2880"` as rows or `"0.7,0.1,0.2"` as fractions; the last two may be zero."""
    expected = "be three numbers of rows like 8640,2880,2880, or three fractions of at most 1 in all like 0.7,0.1,0.2"
    try:
        number = float if "." in text else int
        train, val, test = (number(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"`--split` must {expected}; got {text!r}") from None
    fits = train > 0 and val >= 0 and test >= 0 and (number is int or train + val + test <= 1 + 1e-9)
    require(fits, "--split", expected, repr(text))
    return train, val, test
