"""`jax-lstm forecast`."""

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import InputError, require
from jax_lstm.cli import pictures, plots, show
from jax_lstm.cli.options import data_from
from jax_lstm.cli.stream import stream
from jax_lstm.data import read_series
from jax_lstm.data.series import Series, fill
from jax_lstm.data.streamed import last_rows
from jax_lstm.files import write_whole
from jax_lstm.tasks import open_run
from jax_lstm.tasks.forecast import ForecastRun as Run
from jax_lstm.tasks.forecast import interval
from jax_lstm.train.config import arithmetic

PANELS = 6
MATPLOTLIB_END = np.datetime64("10000-01-01")  # its axes have no later dates


@dataclass(frozen=True)
class Forecast:
    """Forecast the rows after the last one of a file, with a trained model."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train or compare."""
    csv: str = ""
    """File with the model's columns, in any format that train reads; the training data if not given."""
    out: str = ""
    """CSV file for the forecasts, with a PNG beside it; forecast.csv in the run directory if not given."""
    stream: bool = False
    """Read rows from standard input, CSV with a header, and print a forecast after each, as CSV."""

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory, "forecast", "forecast")
        if self.stream:
            given = self.csv or self.out
            require(not given, "--csv and --out", "be left out with --stream, which reads and prints", given)
            if sys.stdin is None or sys.stdout is None:
                raise InputError("`--stream` must have a standard input and output; got one that is closed")
            with (
                arithmetic(run.config),
                open(sys.stdin.fileno(), encoding="utf-8-sig", newline="", closefd=False) as lines,
            ):
                stream(run, lines, sys.stdout)
            return 0
        data = data_from(run, self.csv or run.config.data.csv)
        out = Path(self.out) if self.out else self.run_directory / "forecast.csv"
        if out.suffix != ".csv":
            raise InputError(f"`--out` must end in .csv; got {out}")
        show.left_out(console, run.diverged)
        series = last_rows(data, data.window) if data.stream else read_series(data)[0]
        forecasts = _forecasts(run, series, data.csv or "the packaged weather")
        write_whole(out, _as_csv(run, series, forecasts))
        rows = sum(members.shape[1] for members in forecasts)
        console.print(f"forecasts: [bold]{escape(str(out))}[/], {rows:,} rows")
        picture = out.with_suffix(".png")
        if pictures.drawn(console, lambda: _draw(picture, run, series, forecasts)):
            console.print(f"picture: [bold]{escape(str(picture))}[/]")
        return 0


def _forecasts(run: Run, series: list[Series], source: str) -> list[np.ndarray]:
    """Forecasts of each series, (members, horizon, C), on the original scale."""
    window = run.config.data.window
    for one in series:
        if len(one.values) < window:
            name = f" of {one.group!r}" if one.group else ""
            raise InputError(f"{source}: too few rows{name}: the window needs {window}; got {len(one.values)}")
        if one.times is not None and one.step is None:
            raise InputError(f"{source}: too few rows: the time step cannot be found from one timestamp")
    features = run.scaler.pick(run.features)
    last = [run.scaler.standardise(fill(one.values, run.scaler.mean)[-window:]) for one in series]
    at = [run.scaler.columns.index(name) for name in features.columns]
    inputs = np.concatenate(last)[:, at].astype(run.config.dtype)
    with arithmetic(run.config):
        standardised = run.forecasts(jnp.asarray(inputs), np.arange(len(series), dtype=np.int32) * window)
    target = run.scaler.pick(run.target)
    each = standardised.reshape(len(standardised), len(series), -1, len(run.target)).swapaxes(0, 1)
    return list(target.restore(each.astype(np.float64)))


def _times(one: Series, horizon: int) -> np.ndarray:
    """Timestamps of the forecast rows; without times, their row numbers."""
    ahead = np.arange(1, horizon + 1)
    if one.times is None or one.step is None:
        return ahead + one.first_row + len(one.values)
    return one.times[-1] + ahead * one.step


def _as_csv(run: Run, series: list[Series], forecasts: list[np.ndarray]) -> str:
    data = run.config.data
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    time = "row" if series[0].times is None else data.time or "time"
    group = [data.group or "origin"] if len(series) > 1 or series[0].group else []
    ends = [f"{name} {end}" for name in run.target for end in ("low", "high")] if len(run.names) > 1 else []
    writer.writerow([*group, time, *run.target, *ends])
    for one, members in zip(series, forecasts, strict=True):
        values, within = members.mean(axis=0), interval(members)
        around = np.zeros((len(values), 0)) if within is None else np.stack(within, axis=2).reshape(len(values), -1)
        for stamp, row in zip(_times(one, len(values)), np.concatenate([values, around], axis=1), strict=True):
            name = [one.group] if group else []
            text = stamp if one.times is None else _iso(stamp, one.utc)
            writer.writerow([*name, text, *(f"{value:.9g}" for value in row)])
    return out.getvalue()


def _iso(stamp: np.datetime64, utc: bool) -> str:
    text = str(np.datetime_as_string(stamp, "us")).removesuffix(".000000")
    return text + ("Z" if utc else "")


def _draw(path: Path, run: Run, series: list[Series], forecasts: list[np.ndarray]) -> None:
    window = run.config.data.window
    panels = []
    for one, members in zip(series, forecasts, strict=True):
        values, within = members.mean(axis=0), interval(members)
        for at, column in enumerate(run.target):
            seen = fill(one.values, run.scaler.mean)[-window:, one.columns.index(column)]
            title = f"{one.group} {column}".strip()
            x = None
            if one.times is not None:
                x = np.concatenate([one.times[-window:], _times(one, len(values))])
                x = x if x[-1] < MATPLOTLIB_END else None
            band = None if within is None else (within[0][:, at], within[1][:, at])
            panels.append(plots.Panel(title, seen, None, {"forecast": values[:, at]}, x, band))
    plots.forecasts(path, panels[:PANELS], run.target[0] if len(run.target) == 1 else "")
