"""Tables: the numbers and timestamps of each series in a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm.checks import InputError, require
from jax_lstm.data.columns import classes_of, encoded, numbers, rows_by, suspect
from jax_lstm.data.config import DataConfig
from jax_lstm.data.frames import SUFFIXES, Frame, files_of, of_dataframe, read_frame, split_names
from jax_lstm.data.stamps import Stamps, UnreadableError, read_stamps
from jax_lstm.data.zones import Zone
from jax_lstm.models.forecast_model import Layout

WEATHER = "the packaged weather"


@dataclass(frozen=True)
class Table:
    """The rows of one series: `values` (N, C), NaN where missing; `times` (N,) datetime64[us], or None without them.

    `rows` (N,) are the row numbers in `frame`. `zone` is that of the times, and `date_order` the order of days and
    months, see `Stamps`.
    """

    frame: Frame
    group: str
    columns: tuple[str, ...]
    values: np.ndarray
    times: np.ndarray | None
    zone: Zone
    rows: np.ndarray
    date_order: str = ""

    def place(self, row: int) -> str:
        return self.frame.place(int(self.rows[row]))


@dataclass(frozen=True)
class Columns:
    """The columns that a model uses.

    `read` are the names of features in the file. `features` are those that the model reads: a column of `classes` gives
    one for each class, as "shop=A", and `calendar_features` come from the timestamps. `future` are columns of the file
    that are known in advance, `static` those that are the same in all rows of a series.
    """

    features: tuple[str, ...]
    target: tuple[str, ...]
    read: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calendar_features: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """The features that are known in advance."""
        return (*self._features_of(self.future), *self.calendar_features)

    def layout(self, window: int, horizon: int) -> Layout:
        """The roles of the features in a window."""
        return Layout(
            window,
            horizon,
            len(self.features),
            *(
                tuple(self.features.index(name) for name in names if name in self.features)
                for names in (self.target, self.known, self._features_of(self.static), self.calendar_features)
            ),
        )

    def _features_of(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return _expanded(names, self.classes)

    @property
    def measured(self) -> tuple[str, ...]:
        """The columns of numbers in the file, those of classes left out."""
        encoded = self._features_of(tuple(self.classes))
        return tuple(name for name in self.numbers if name not in encoded)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of a table, those of the calendar left out."""
        names = dict.fromkeys((*self.features, *self.target))
        return tuple(name for name in names if name not in self.calendar_features)


def read_tables(
    config: DataConfig, trained: Columns | None = None, data: Any = None
) -> tuple[list[Table], Columns, list[str], list[str]]:
    """Read a `Table` per series, in order of appearance: of a file per group, of a folder per file.

    `trained` are the columns of a trained model; `data` is a DataFrame to read instead of `config.csv`. Returns also
    the columns, notes on how the files were read, and warnings about their values.

    Raises:
        InputError: a file is faulty, a column is absent, or a value cannot be used.
    """
    frames = {name: replace(frame, missing=config.file.missing) for name, frame in _frames(config, data).items()}
    if not config.csv and data is None:
        config = replace(config, csv=WEATHER, target=config.target or ("temp",), time="time", group="origin")
    zone = config.file.time_zone
    require(bool(config.time) or not zone, "--time-zone", "come with --time", zone)
    first = next(iter(frames.values()))
    columns = trained or _columns(config, first)
    if trained is None and config.categories:
        classes = {
            name: tuple(sorted({one for frame in frames.values() for one in classes_of(frame, name)}))
            for name in columns.classes
        }
        columns = replace(columns, features=_expanded(columns.read, classes), classes=classes)
    tables: list[Table] = []
    notes = list(dict.fromkeys(note for frame in frames.values() for note in frame.notes))
    for name, frame in frames.items():
        found, note = _tables(frame, columns, config)
        tables += [replace(one, group=name) for one in found] if name else found
        notes += [note] if note and note not in notes else []
        if tables[0].zone != tables[-1].zone:
            names = {one.zone.name for one in tables} - {""}
            if not zone and len(names) == 1:  # recognised in one of the files
                return read_tables(replace(config, file=replace(config.file, time_zone=names.pop())), trained, data)
            raise InputError(
                f"{frame.path}, column {config.time!r}: timestamps must have an offset from UTC in all files, or in "
                "none"
            )
    return tables, columns, notes, _suspects(tables, columns)


def _frames(config: DataConfig, data: Any) -> dict[str, Frame]:
    """The frames to read; those of a folder by name, a single one as ""."""
    if data is not None:
        return {"": of_dataframe(data)}
    if not config.csv:
        with as_file(files("jax_lstm.data") / "weather.csv.gz") as path:
            return {"": read_frame(str(path), config.file)}
    if not Path(config.csv).is_dir():
        return {"": read_frame(config.csv, config.file)}
    require(
        not config.group, "--group", "be left out with a folder, in which each file is a series", repr(config.group)
    )
    return {name: read_frame(path, config.file) for name, path in files_of(config.csv, SUFFIXES).items()}


def _columns(config: DataConfig, frame: Frame) -> Columns:
    """The columns that the options choose, without the classes of those to be encoded."""
    categories = chosen(config.categories, frame)
    target = chosen(config.target, frame)
    kept_out = {config.time, config.group, *chosen(config.ignore, frame)}
    future, static = chosen(config.future, frame), chosen(config.static, frame)
    read = chosen(config.features, frame)
    if config.past:
        read = (*target, *chosen(config.past, frame))
    read = read or tuple(name for name in frame.names if name not in kept_out)
    read = tuple(dict.fromkeys((*read, *categories, *future, *static)))
    require(bool(read), "--features", "leave a column to read", "none")
    return Columns(read, target, read, dict.fromkeys(categories, ()), (), future, static)


def _expanded(read: Sequence[str], classes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of features: a column of classes gives one for each."""
    return tuple(
        feature
        for name in read
        for feature in ([f"{name}={one}" for one in classes[name]] if name in classes else [name])
    )


def chosen(names: Sequence[str], frame: Frame) -> tuple[str, ...]:
    """The columns that an option names, separated by spaces or commas.

    Raises:
        InputError: there is no such column.
    """
    found = split_names(names, frame.names)
    require_columns(found, frame)
    return found


def require_columns(names: Sequence[str], frame: Frame) -> None:
    for name in filter(None, names):
        if name not in frame.names:
            raise InputError(f"{frame.path}: no column {name!r}; the columns are {', '.join(frame.names)}")


def _tables(frame: Frame, columns: Columns, config: DataConfig) -> tuple[list[Table], str]:
    require_columns((*columns.read, *columns.target, config.time, config.group), frame)
    found: dict[str, np.ndarray] = {}
    for name in dict.fromkeys((*columns.read, *columns.target)):
        if name in columns.classes:
            found |= encoded(frame, name, columns.classes[name], config.unknown_class)
        else:
            found[name] = numbers(frame, name)
    values = np.stack([found[name] for name in columns.numbers], axis=1)
    groups = [str(name).strip() for name in frame.data[config.group].tolist()] if config.group else [""] * len(values)
    rows = rows_by(groups)
    stamps = _stamps(frame, config, [*rows.values()]) if config.time else Stamps(np.zeros(0))
    zone, order = stamps.zone, stamps.order
    tables = [
        Table(frame, name, columns.numbers, values[at], stamps.times[at] if config.time else None, zone, at, order)
        for name, at in rows.items()
    ]
    return tables, stamps.note


def _stamps(frame: Frame, config: DataConfig, series: Sequence[np.ndarray]) -> Stamps:
    file = config.file
    try:
        return read_stamps(frame.data[config.time], file.date_order, file.date_format, file.time_zone, series)
    except UnreadableError as error:
        raise InputError(f"{frame.place(error.row)}, column {config.time!r}: {error.expected}") from None


def _suspects(tables: Sequence[Table], columns: Columns) -> list[str]:
    """Warnings about values that look like markers of missing ones."""
    values = np.concatenate([table.values for table in tables])
    found = []
    for at, name in enumerate(columns.numbers):
        value = suspect(values[:, at])
        if value is not None:
            count = int(np.count_nonzero(values[:, at] == value))
            found.append(
                f"column {name!r} has {value:g} in {count} rows, far outside its other values; if that stands for a "
                f"missing value, say --missing {value:g}"
            )
    return found
