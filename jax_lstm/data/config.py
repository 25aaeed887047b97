"""Options of series: file, columns, windows."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from jax_lstm.checks import InputError, require, require_size
from jax_lstm.data.zones import require_zone


@dataclass(frozen=True)
class FileConfig:
    """How a text file is written. What is not given is recognised, and said."""

    separator: str = ""
    """Character between columns; `tab` for a tab."""
    decimal: Literal["", ".", ","] = ""
    """Decimal sign."""
    thousands: str = ""
    """Character between thousands."""
    encoding: str = ""
    """Encoding, as utf-8 or cp1252."""
    skip_lines: Annotated[int, tyro.conf.arg(metavar="LINES")] = 0
    """Lines to leave out before the header."""
    missing: tuple[str, ...] = ()
    """Values that stand for missing ones, as -999, beside empty fields, NA, NaN, null, none, - and ?."""
    date_order: Literal["", "day-first", "month-first", "year-first"] = ""
    """Order of dates like 1/2/2024 or 24-01-02."""
    date_format: str = ""
    """Format of timestamps, as strptime has it: %d.%m.%Y %H:%M."""
    time_zone: str = ""
    """Zone of timestamps without an offset, to which those with one are converted, as Europe/Berlin."""

    def __post_init__(self) -> None:
        require_size("--skip-lines", self.skip_lines, least=0)
        require(len(self.thousands) < 2, "--thousands", "be one character", repr(self.thousands))
        differ = not self.decimal or self.decimal != self.thousands
        require(differ, "--thousands", "differ from --decimal", repr(self.thousands))
        require_zone(self.time_zone)


STREAMED = "rows count as consecutive, and each file of a folder as a series"


@dataclass(frozen=True)
class DataConfig:
    """Data: file, columns, windows."""

    csv: str = ""
    """Series to read: text with a header (.csv, .tsv, .txt, also .gz), .parquet, .npy, .npz, or a folder of such files,
    one per series (default: the packaged New York weather)."""
    target: tuple[str, ...] = ()
    """One or more columns to forecast (packaged weather: `temp`)."""
    features: tuple[str, ...] = ()
    """Columns that the model reads (default: all but time and group)."""
    time: str = ""
    """Column of timestamps; without it, rows count as consecutive."""
    group: str = ""
    """Column with the name of each row's series; without it, the file is one series."""
    window: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 0
    """Rows that the model reads for a forecast (default: a season or several, by the validation error of a linear
    model)."""
    horizon: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 12
    """Rows to forecast."""
    split: str = "0.7,0.1,0.2"
    """Training, validation and test part of each series, in time order, as fractions or numbers of rows."""
    season: Annotated[int, tyro.conf.arg(metavar="ROWS")] = 0
    """Rows per season (default: the one of the calendar, or without --time of the values, that repeats best)."""
    statistics: Literal["auto", "series", "shared"] = "auto"
    """Mean and standard deviation that standardise a column: of each series, or shared by all; auto decides by how the
    deviation of the targets within series compares with that of all series together."""
    stream: bool = False
    """Leave the rows on disk and read each batch when it is needed; for .npy files and folders of them."""
    epoch_windows: Annotated[int, tyro.conf.arg(metavar="WINDOWS")] = 0
    """With --stream, the largest number of windows per epoch, drawn anew each epoch; 0 means all."""
    eval_windows: Annotated[int, tyro.conf.arg(metavar="WINDOWS")] = 4096
    """With --stream, the largest number of windows of each part to score; they are evenly spaced and kept in memory."""

    past: tuple[str, ...] = ()
    """In place of --features: columns to read beside the targets, known up to the present."""
    future: tuple[str, ...] = ()
    """Columns known in advance, as holidays and planned prices; rows after the last target carry them."""
    static: tuple[str, ...] = ()
    """Columns with one value for each series."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out."""
    categories: tuple[str, ...] = ()
    """Columns of classes, each of which becomes a feature of zeros and ones."""
    unknown_class: Literal["error", "other"] = "error"
    """What to do with a class that was not there in training: stop, or encode it as none of the known ones."""
    calendar: Literal["auto", "on", "off"] = "auto"
    """Add sine and cosine of hour, weekday and day of the year as features, of each cycle that the training part holds
    twice; auto adds them with --time."""
    interval: float = 0.0
    """Fraction of the truth that forecast intervals should cover, as 0.9; 0 for no intervals. They are calibrated on
    the latest known errors of the second half of the validation part and, as time passes, of the test part."""
    file: FileConfig = field(default_factory=FileConfig)

    def __post_init__(self) -> None:
        require_size("--horizon", self.horizon)
        require_size("--window", self.window, least=0)
        require_size("--season", self.season, least=0)
        require_size("--eval-windows", self.eval_windows)
        require_size("--epoch-windows", self.epoch_windows, least=0)
        require(self.stream or not self.epoch_windows, "--epoch-windows", "come with --stream", self.epoch_windows)
        require(not self.stream or bool(self.csv), "--stream", "come with --csv", "no --csv")
        for name in ("time", "group", "categories", "past", "future", "static", "interval"):
            given = getattr(self, name)
            require(not self.stream or not given, f"--{name}", "be left out with --stream", repr(given), STREAMED)
        zone = self.file.time_zone
        require(not self.stream or not zone, "--time-zone", "be left out with --stream", repr(zone), STREAMED)
        per_series = self.stream and self.statistics == "series"
        require(not per_series, "--statistics", "be shared or auto with --stream", "series", "leave --stream out")
        val = parse_split(self.split)[1]
        require(0 <= self.interval < 1, "--interval", "be at least 0 and below 1", self.interval)
        calibrates, fix = "come with a validation part in --split, which calibrates it", "--split 0.7,0.1,0.2"
        require(val > 0 or not self.interval, "--interval", calibrates, self.interval, fix)
        require(not (self.features and self.past), "--past", "be left out with --features", " ".join(self.past))
        if not self.csv:
            for name in ("time", "group"):
                require(not getattr(self, name), f"--{name}", "come with --csv", repr(getattr(self, name)))
        else:
            require(bool(self.target), "--target", "name the column of --csv to forecast", "nothing")
        for name in ("target", "features", "past", "future", "static", "ignore", "categories"):
            columns = getattr(self, name)
            require(len(set(columns)) == len(columns), f"--{name}", "name each column once", " ".join(columns))
            require(all(columns), f"--{name}", "name columns", "an empty name")
        for name in self.ignore:
            named = (*self.target, *self.features, *self.past, *self.future, *self.static, *self.categories)
            used = name in (*named, self.time, self.group)
            require(not used, "--ignore", "name columns that are not used otherwise", repr(name))
        for name in self.categories:
            require(name not in self.target, "--categories", "leave out the targets, which are numbers", repr(name))
        for name in self.future:
            require(name not in self.target, "--future", "leave out the targets, which are forecast", repr(name))
        for name in self.static:
            apart = name not in (*self.target, *self.past, *self.future)
            require(apart, "--static", "name columns that are neither targets nor in --past or --future", repr(name))

    @property
    def calendar_features(self) -> bool:
        return self.calendar == "on" or (self.calendar == "auto" and bool(self.time or not self.csv))


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
