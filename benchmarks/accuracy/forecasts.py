"""Forecasts with default options, beside the baselines of `jax-lstm`: ten series, and ETTh1 as it is published."""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.published import ETTH1
from benchmarks.accuracy.row import OURS, Figures, Job, Row
from benchmarks.accuracy.series import file_of
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.calibration import interval_scores
from jax_lstm.tasks.evaluation import evaluate
from jax_lstm.tasks.intervals import Coverage
from jax_lstm.train import Progress, TrainConfig, fit
from jax_lstm.train.config import with_options
from jax_lstm.train.task import Task

COLUMNS = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
CURRENCIES = [f"c{at}" for at in range(8)]
BASELINES = ("persistence", "seasonal-naive", "ridge")
SPLIT = "8640,2880,2880"  # ETTh1: 12, 4 and 4 months of 30 days


@dataclass(frozen=True)
class Series:
    """Options of `jax-lstm train` for a file: its columns and the horizon, and nothing that tunes the model."""

    file: str
    options: dict[str, Any]
    baselines: tuple[str, ...] = BASELINES


def etth1(columns: list[str], horizon: int) -> Series:
    """Without calendar features, as the published linear models."""
    options: dict[str, Any] = {"time": "date", "target": columns, "features": columns, "horizon": horizon}
    options |= {"split": SPLIT, "calendar": "off"}
    return Series("ETTh1.csv", options)


SERIES = {
    "weather": Series("", {"target": ["temp"], "horizon": 12}),
    "ETTh1, OT": Series("ETTh1.csv", {"time": "date", "target": ["OT"], "horizon": 24}),
    "ETTh1": Series(
        "ETTh1.csv", {"time": "date", "target": COLUMNS, "features": COLUMNS, "horizon": 96, "split": SPLIT}
    ),
    "airline": Series("airline_passengers.csv", {"time": "Month", "target": ["Passengers"], "horizon": 12}),
    "exchange rates": Series(  # which have no season
        "exchange_rate.csv", {"target": CURRENCIES, "horizon": 5}, ("persistence", "ridge")
    ),
    "taxi": Series("nyc_taxi.csv", {"time": "timestamp", "target": ["value"], "horizon": 48}),
    "bicycles": Series(
        "bike_sharing.csv", {"time": "date_time", "target": ["users"], "features": ["users"], "horizon": 24}
    ),
    "CO2": Series("co2.csv", {"time": "date", "target": ["co2"], "horizon": 13}),
    "sunspots": Series("sunspots.csv", {"target": ["SUNACTIVITY"], "features": ["SUNACTIVITY"], "horizon": 11}),
    "PBS": Series("pbs.csv", {"time": "date", "target": ["scripts"], "horizon": 12}),
}
WITH_PEERS = ("airline", "bicycles", "ETTh1, OT", "taxi", "ETTh1")
PEERS = {  # and the package of each
    "neuralforecast LSTM": "neuralforecast",
    "neuralforecast NHITS": "neuralforecast",
    "neuralforecast NLinear": "neuralforecast",
    "Darts BlockRNN": "darts",
}
SEGRNN = "SegRNN, trained here"


@dataclass(frozen=True)
class Recipe:
    """Options of SegRNN for ETTh1 in scripts/SegRNN/etth1.sh of https://github.com/lss-1138/SegRNN.

    The learning rate is steady for some epochs, then is multiplied by `decay` after each.
    """

    window: int = 720
    segment: int = 24
    hidden: int = 512
    dropout: float = 0.1
    batch: int = 64
    epochs: int = 30
    patience: int = 5
    learning_rate: float = 3e-4
    steady: int = 3
    decay: float = 0.8


WITH_INTERVALS, INTERVAL = ("weather", "ETTh1, OT", "taxi", "bicycles", "CO2", "exchange rates"), 0.9
TABLES = {"univariate": ["OT"], "multivariate": COLUMNS}
FURTHER = (96, 192)  # horizons of later papers, for all seven columns


def series_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    for name, series in SERIES.items():
        if not quick or name == "airline":
            yield from _jobs("series", name, series, seeds)


def etth1_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    for table, columns in TABLES.items():
        horizons = sorted({*ETTH1[table], *(FURTHER if table == "multivariate" else ())})
        for horizon in horizons[:1] if quick else horizons:
            yield from _jobs("etth1", table, etth1(columns, horizon), seeds)


def segrnn_jobs(quick: bool) -> Iterator[Job]:
    """One seed at one horizon, since it takes long."""
    recipe = Recipe(window=48, hidden=16, epochs=2, learning_rate=1e-2) if quick else Recipe()
    series = etth1(COLUMNS, 24 if quick else 96)
    config = series.options | {"recipe": asdict(recipe)}
    run = partial(_segrnn, series, recipe, config)
    yield Job("segrnn", "multivariate", series.options["horizon"], SEGRNN, 0, config, run, series.file)


def _segrnn(series: Series, recipe: Recipe, config: dict[str, Any]) -> Row:
    from benchmarks.accuracy import segrnn

    task: Any = load(Series(series.file, series.options | {"window": recipe.window}), 0)
    data = task.dataset
    began = time.process_time()
    model, curve = segrnn.train(data, recipe, 0)
    seconds = time.process_time() - began
    figures = segrnn.errors(model, data, "test") | {"epochs": float(len(curve["epoch"]))}
    return Row("segrnn", "multivariate", series.options["horizon"], SEGRNN, 0, figures, seconds, config, curve=curve)


def peer_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    """Ours and those of other projects, all in this study, so that their times are of one run."""
    for name in WITH_PEERS[:1] if quick else WITH_PEERS:
        series = SERIES[name]
        horizon, options = series.options["horizon"], series.options
        for seed in range(seeds):
            yield Job("peers", name, horizon, OURS, seed, options, partial(_lstm, "peers", name, series, seed, {}),
                      series.file)  # fmt: skip
            for who, package in PEERS.items():
                run = partial(_peer, name, series, who, seed)
                yield Job("peers", name, horizon, who, seed, options, run, series.file, package)


def _peer(name: str, series: Series, who: str, seed: int) -> Row:
    from benchmarks.accuracy import peers

    task: Any = load(series, 0)
    began = time.process_time()
    figures = peers.errors(who, task.dataset, seed)
    seconds = time.process_time() - began
    return Row("peers", name, series.options["horizon"], who, seed, figures, seconds, series.options)


def _jobs(study: str, name: str, series: Series, seeds: int) -> Iterator[Job]:
    horizon, published = series.options["horizon"], ETTH1.get(name, {}).get(series.options["horizon"])
    figures: Figures = dict(zip(("mse", "mae"), published, strict=True)) if published else {}
    for who in series.baselines:
        run = partial(_baseline, study, name, series, who, figures)
        yield Job(study, name, horizon, who, None, series.options, run, series.file)
    for seed in range(seeds):
        run = partial(_lstm, study, name, series, seed, figures)
        yield Job(study, name, horizon, OURS, seed, series.options, run, series.file)


def _baseline(study: str, name: str, series: Series, who: str, published: Figures) -> Row:
    began, options = time.process_time(), series.options
    scores = _baselines(series.file, json.dumps(options))[who]
    seconds = time.process_time() - began
    found = {"mse": scores["mse"], "mae": scores["mae"]}
    return Row(study, name, options["horizon"], who, None, found, seconds, options, published)


@lru_cache(maxsize=1)
def _baselines(file: str, options: str) -> dict[str, Any]:
    return load(Series(file, json.loads(options)), 0).baselines("test")


def _lstm(study: str, name: str, series: Series, seed: int, published: Figures) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        task, run, curve, seconds = _trained(series, seed, Path(folder))
        scores, validation = (evaluate(run, task, part).scores["LSTM"] for part in ("test", "val"))
    config, options = task.config, series.options
    figures = {"mse": scores["mse"], "mae": scores["mae"], "validation mae": validation["mae"]}
    chosen = {"window": config.data.window, "segment": config.model.segment, "batch size": config.batch_size}
    figures |= chosen | {"epochs": float(len(curve["epoch"]))}
    return Row(study, name, options["horizon"], OURS, seed, figures, seconds, options, published, curve=curve)


def interval_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    """Calibrated intervals of the series with many test windows; they need no seeds."""
    for name in ("weather",) if quick else WITH_INTERVALS:
        series = SERIES[name]
        options: dict[str, Any] = series.options | {"interval": INTERVAL}
        run = partial(_interval, name, Series(series.file, options))
        yield Job("intervals", name, options["horizon"], OURS, 0, options, run, series.file)


def _interval(name: str, series: Series) -> Row:
    """Means over the targets: of the coverage of the test part with its bootstrap interval, width and score."""
    with tempfile.TemporaryDirectory() as folder:
        task, run, curve, seconds = _trained(series, 0, Path(folder))
        found = interval_scores(run, task, evaluate(run, task, "test").predictions, "test").values()
    figures = {field: float(np.mean([getattr(one, field) for one in found])) for field in Coverage._fields}
    figures["windows"] = float(task.size("test"))
    return Row("intervals", name, series.options["horizon"], OURS, 0, figures, seconds, series.options, curve=curve)


def _trained(series: Series, seed: int, directory: Path) -> tuple[Any, Any, dict[str, list[float]], float]:
    """Train in `directory`: the task, the run, its curve, and processor seconds of training and validation.

    These begin after the first call, which compiles the step.
    """
    curve: dict[str, list[float]] = {"epoch": [], "train": [], "validation": []}
    began: list[float] = []

    def report(progress: Progress) -> None:
        began.append(time.process_time())
        if progress.epoch_ended:
            values = (progress.position.epoch, progress.train_loss, progress.val_loss)
            for column, value in zip(curve.values(), values, strict=True):
                column.append(np.nan if value is None else float(value))

    task = load(series, seed)
    fit(task, directory, report=report)
    return task, open_run(directory), curve, began[-1] - began[0]


def load(series: Series, seed: int) -> Task:
    """The task of a training run with default options."""
    csv = str(file_of(series.file)) if series.file else ""
    return load_task(with_options(TrainConfig(), {"csv": csv, "seed": seed, **series.options}, "forecast"))
