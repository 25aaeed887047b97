"""A run that is killed outright and resumed ends with the very weights of one that was not: with a real process."""

from pathlib import Path

import numpy as np
from processes import killed_and_resumed, weights

from jax_lstm.data import DataConfig


def options(data: DataConfig, out: Path) -> list[str]:
    sizes = ["--window", str(data.window), "--horizon", str(data.horizon), "--hidden-size", "4", "--num-layers", "2"]
    run = ["--dropout", "0.2", "--epochs", "8", "--batch-size", "8", "--chunk-steps", "5", "--schedule", "cosine"]
    return ["train", "--csv", data.csv, "--target", "a", *sizes, *run, "--out", str(out)]


def test_killed_and_resumed_is_bit_identical(data: DataConfig, tmp_path: Path) -> None:
    whole, killed = killed_and_resumed(lambda out: options(data, out), tmp_path)
    for got, expected in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(got, expected)
    metrics = [(run / "metrics.jsonl").read_text().splitlines() for run in (whole, killed)]
    assert len(metrics[0]) == len(metrics[1])
