"""`jax-lstm forecast`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import InputError, listed, require
from jax_lstm.cli import pictures, plots, show
from jax_lstm.cli.stream import stream
from jax_lstm.data.series import fill
from jax_lstm.files import write_whole
from jax_lstm.tasks import open_run
from jax_lstm.tasks.ahead import Ahead, as_frame, forecast_ahead
from jax_lstm.tasks.forecast import agreement
from jax_lstm.train.config import arithmetic

PANELS = 6
MATPLOTLIB_END = np.datetime64("10000-01-01")  # its axes have no later dates


@dataclass(frozen=True)
class Forecast:
    """Forecast the rows after the last one of a file, with a trained model.

    Its weights stay those of the training part: the file is read only as the window before the forecast.
    """

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train or compare."""
    csv: str = ""
    """File with the model's columns, in any format that train reads; the training data if not given."""
    out: str = ""
    """CSV file for the forecasts, with a PNG beside it; forecast.csv in the run directory if not given."""
    stream: bool = False
    """Read rows from standard input, CSV with a header, and print a forecast after each, as CSV."""
    series: str = ""
    """Name of the series in training that rows without a name belong to; for a run with statistics per series."""

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory, "forecast", "forecast")
        if self.series:
            run = run.of_series(self.series)
        if self.stream:
            given = self.csv or self.out
            require(not given, "--csv and --out", "be left out with --stream, which reads and prints", given)
            if sys.stdin is None or sys.stdout is None:
                raise InputError("`--stream` must have a standard input and output; got one that is closed")
            with (
                arithmetic(run.config),
                open(sys.stdin.fileno(), encoding="utf-8-sig", newline="", closefd=False) as lines,
            ):
                stream(run, lines, sys.stdout, sys.stderr)
            return 0
        data = run.data_config(self.csv)
        out = Path(self.out) if self.out else self.run_directory / "forecast.csv"
        if out.suffix != ".csv":
            raise InputError(f"`--out` must end in .csv; got {out}")
        show.left_out(console, run.diverged)
        ahead = forecast_ahead(run, data)
        names = listed([one.group for one in ahead.series])
        require(not (self.series and names), "--series", f"be left out for data that names its series, {names}",
                repr(self.series))  # fmt: skip
        show.notes(console, ahead.notes, ahead.warnings)
        frame = as_frame(ahead)
        write_whole(out, _as_csv(ahead, frame))
        console.print(f"forecasts: [bold]{escape(str(out))}[/], {len(frame):,} rows")
        picture = out.with_suffix(".png")
        if pictures.drawn(console, {picture.name: lambda: _draw(picture, ahead)}):
            console.print(f"picture: [bold]{escape(str(picture))}[/]")
        return 0


def _as_csv(ahead: Ahead, frame: Any) -> str:
    """Timestamps are written as in the file that was read."""
    time = next(
        (name for name in frame.columns if frame[name].dtype.kind == "M" or hasattr(frame[name].dtype, "tz")), None
    )
    if time is not None:
        stamps = np.concatenate(
            [one.ahead(rows.shape[1]) for one, rows in zip(ahead.series, ahead.forecasts, strict=True)]
        )
        frame = frame.assign(**{time: ahead.series[0].zone.texts(stamps)})
    return frame.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def _draw(path: Path, ahead: Ahead) -> None:
    run, data = ahead.run, ahead.run.config.data
    shown = min(data.window, pictures.SHOWN * data.horizon)
    panels = []
    for one, members, bands in zip(ahead.series, ahead.forecasts, ahead.bands, strict=True):
        values, within = members.mean(axis=0), agreement(members)
        for at, column in enumerate(run.target):
            seen = fill(one.values, ahead.scaler.of(one.group).mean)[-shown:, one.columns.index(column)]
            title = f"{one.group} {column}".strip()
            x = None
            if one.times is not None:
                x = np.concatenate([one.times[-shown:], one.ahead(len(values))])
                x = x if x[-1] < MATPLOTLIB_END else None
            panel = plots.Panel(title, seen, None, {"forecast": values[:, at]}, x)
            if within is not None:
                panel.bands["agreement of seeds"] = within[0][:, at], within[1][:, at]
            if len(bands) > 1:
                low, high = min(bands), max(bands)
                panel.bands[f"{high - low:.0%} interval"] = bands[low][:, at], bands[high][:, at]
            panels.append(panel)
    plots.forecasts(path, panels[:PANELS], run.target[0] if len(run.target) == 1 else "")
