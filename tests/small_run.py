"""A small series and the options of a small run on it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from jax_lstm.cli import main

WINDOW, HORIZON, HIDDEN = 6, 3, 4
SIZES = ("--hidden-size", HIDDEN, "--window", WINDOW, "--horizon", HORIZON, "--batch-size", 16, "--epochs", 2)
SMALL = (*SIZES, "--schedule", "constant")
COLUMNS = ("--target", "y", "--time", "time", "--calendar", "off")


def noisy_sine(rows: int = 200, seed: int = 0) -> np.ndarray:
    """Values (rows, 2) of the columns y and x."""
    noise = np.random.default_rng(seed).standard_normal((rows, 2))
    return np.round(np.stack([20 + 5 * np.sin(np.arange(rows) / 4), np.zeros(rows)], axis=1) + noise, 4)


def stamp(hour: int) -> str:
    return (datetime(2020, 1, 1) + timedelta(hours=hour)).isoformat()


def write(path: Path, *series: np.ndarray, time: bool = True) -> str:
    """Hourly rows of y and x; where there are several series, the column `site` names each."""
    header = [*(["site"] if len(series) > 1 else []), *(["time"] if time else []), "y", "x"]
    lines = [",".join(header)]
    for site, values in enumerate(series):
        for hour, (y, x) in enumerate(values):
            fields = {"site": f"s{site}", "time": stamp(hour), "y": str(y), "x": str(x)}
            lines.append(",".join(fields[name] for name in header))
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def call(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])
