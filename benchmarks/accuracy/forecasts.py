"""Forecasts with default options, beside the baselines of `jax-lstm`: ten series, and ETTh1 as it is published.

Also with more units, with SegRNN's recipe, and by forecasters of other projects.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.published import ETTH1, LATER_HORIZONS
from benchmarks.accuracy.row import OURS, Job
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
KNOWN_AHEAD = ["holiday", "workingday", "weather", "temp", "atemp", "hum", "windspeed"]
# Of the study of larger networks: the series with one target, and one with columns known in advance.
LARGER = {name: series for name, series in SERIES.items() if len(series.options["target"]) == 1}
LARGER["bicycles and weather"] = Series(
    "bike_sharing.csv",
    SERIES["bicycles"].options
    | {"features": ["users", *KNOWN_AHEAD], "future": KNOWN_AHEAD, "categories": ["weather"]},
)
UNITS = 256  # of the larger network; the default is 64
LARGER_LSTM = f"LSTM, {UNITS} units"
AVERAGED = "LSTM, averaged"
# Of ETTh1 at the horizons of later papers: a larger LSTM that learns by itself, as SegRNN does, for four epochs, since
# the validation error rises after them. Up to 336 hours it reads three weeks, with which ridge regression has a lower
# validation error than with one, two or four.
AVERAGED_OPTIONS: dict[str, Any] = {"bypass": "average", "hidden_size": 256, "output_dropout": 0.1}
AVERAGED_OPTIONS |= {"batch_size": 64, "epochs": 4, "learning_rate": 5e-4}
THREE_WEEKS, LAST_HORIZON = 504, 336
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


def series_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    for name, series in SERIES.items():
        if not quick or name == "airline":
            yield from _jobs("series", name, series, seeds)


def etth1_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    for table, columns in TABLES.items():
        later = LATER_HORIZONS if table == "multivariate" else ()
        horizons = sorted({*ETTH1[table], *later})
        for horizon in horizons[:1] if quick else horizons:
            series = etth1(columns, horizon)
            yield from _jobs("etth1", table, series, seeds)
            window = {"window": THREE_WEEKS} if horizon <= LAST_HORIZON else {}
            averaged = replace(series, options=series.options | AVERAGED_OPTIONS | window)
            for seed in range(seeds if horizon in later else 0):
                yield _job("etth1", table, averaged, AVERAGED, seed, partial(_lstm, averaged, seed))


def _jobs(study: str, name: str, series: Series, seeds: int) -> Iterator[Job]:
    """Our LSTM with each seed, after the baselines."""
    published = ETTH1.get(name, {}).get(series.options["horizon"])
    known = {"published": dict(zip(("mse", "mae"), published, strict=True))} if published else {}
    for who in series.baselines:
        yield _job(study, name, series, who, None, partial(_baseline, series, who), known=known)
    for seed in range(seeds):
        yield _job(study, name, series, OURS, seed, partial(_lstm, series, seed), known=known)


def larger_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    """Networks of the default size and with `UNITS` units, in one run, so that their times can be compared."""
    for name, series in LARGER.items():
        if quick and name != "airline":
            continue
        larger = replace(series, options=series.options | {"hidden_size": UNITS})
        yield _job("larger", name, series, "ridge", None, partial(_baseline, series, "ridge"))
        for seed in range(seeds):
            yield _job("larger", name, series, OURS, seed, partial(_lstm, series, seed))
            yield _job("larger", name, larger, LARGER_LSTM, seed, partial(_lstm, larger, seed))


def interval_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    """Calibrated intervals of the series with many test windows; they need no seeds."""
    for name in ("weather",) if quick else WITH_INTERVALS:
        series = replace(SERIES[name], options=SERIES[name].options | {"interval": INTERVAL})
        yield _job("intervals", name, series, OURS, 0, partial(_interval, series))


def segrnn_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    """One seed at one horizon, since it takes long."""
    recipe = Recipe(window=48, hidden=16, epochs=2, learning_rate=1e-2) if quick else Recipe()
    series = etth1(COLUMNS, 24 if quick else 96)
    config = series.options | {"recipe": asdict(recipe)}
    run = partial(_segrnn, series, recipe)
    yield Job("segrnn", "multivariate", series.options["horizon"], SEGRNN, 0, config, run, file=series.file)


def peer_jobs(quick: bool, seeds: int) -> Iterator[Job]:
    """Ours and those of other projects, all in this study, so that their times are of one run."""
    for name in WITH_PEERS[:1] if quick else WITH_PEERS:
        series = SERIES[name]
        for seed in range(seeds):
            yield _job("peers", name, series, OURS, seed, partial(_lstm, series, seed))
            for who, package in PEERS.items():
                yield _job("peers", name, series, who, seed, partial(_peer, series, who, seed), package=package)


def _job(study: str, name: str, series: Series, who: str, seed: int | None, measure: Any, **more: Any) -> Job:
    options = series.options
    return Job(study, name, options["horizon"], who, seed, options, measure, file=series.file, **more)


# What is measured: figures, seconds of the processor, and the curve of training


def _baseline(series: Series, who: str) -> dict[str, Any]:
    began = time.process_time()
    scores = _baselines(series.file, json.dumps(series.options))[who]
    return {"figures": {"mse": scores["mse"], "mae": scores["mae"]}, "seconds": time.process_time() - began}


@lru_cache(maxsize=1)
def _baselines(file: str, options: str) -> dict[str, Any]:
    return load(Series(file, json.loads(options)), 0).baselines("test")


def _lstm(series: Series, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        task, run, curve, seconds = _trained(series, seed, Path(folder))
        scores, validation = (evaluate(run, task, part).scores["LSTM"] for part in ("test", "val"))
    config = task.config
    figures = {"mse": scores["mse"], "mae": scores["mae"], "validation mae": validation["mae"]}
    chosen = {"window": config.data.window, "segment": config.model.segment, "batch size": config.batch_size}
    figures |= chosen | {"epochs": float(len(curve["epoch"]))}
    return {"figures": figures, "seconds": seconds, "curve": curve}


def _interval(series: Series) -> dict[str, Any]:
    """Means over the targets: of the coverage of the test part with its bootstrap interval, width and score."""
    with tempfile.TemporaryDirectory() as folder:
        task, run, curve, seconds = _trained(series, 0, Path(folder))
        found = interval_scores(run, task, evaluate(run, task, "test").predictions, "test").values()
    figures = {field: float(np.mean([getattr(one, field) for one in found])) for field in Coverage._fields}
    return {"figures": figures | {"windows": float(task.size("test"))}, "seconds": seconds, "curve": curve}


def _segrnn(series: Series, recipe: Recipe) -> dict[str, Any]:
    from benchmarks.accuracy import segrnn

    task: Any = load(replace(series, options=series.options | {"window": recipe.window}), 0)
    began = time.process_time()
    model, curve = segrnn.train(task.dataset, recipe, 0)
    seconds = time.process_time() - began
    figures = segrnn.errors(model, task.dataset, "test") | {"epochs": float(len(curve["epoch"]))}
    return {"figures": figures, "seconds": seconds, "curve": curve}


def _peer(series: Series, who: str, seed: int) -> dict[str, Any]:
    from benchmarks.accuracy import peers

    task: Any = load(series, 0)
    began = time.process_time()
    figures = peers.errors(who, task.dataset, seed)
    return {"figures": figures, "seconds": time.process_time() - began}


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
