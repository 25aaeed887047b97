"""A run that is killed outright and resumed ends with the very weights of one that was not: with a real process."""

import signal
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
from processes import PROGRAM

from jax_lstm.data import DataConfig
from jax_lstm.tasks import open_run
from jax_lstm.train.checkpoint import has_checkpoint


def options(data: DataConfig, out: Path) -> list[str]:
    sizes = ["--window", str(data.window), "--horizon", str(data.horizon), "--hidden-size", "4", "--num-layers", "2"]
    run = ["--dropout", "0.2", "--epochs", "6", "--batch-size", "8", "--chunk-steps", "5", "--schedule", "cosine"]
    return ["train", "--csv", data.csv, "--target", "a", *sizes, *run, "--out", str(out)]


def weights(directory: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(open_run(directory).weights())]


def test_killed_and_resumed_is_bit_identical(data: DataConfig, tmp_path: Path) -> None:
    subprocess.run([*PROGRAM, *options(data, tmp_path / "whole")], check=True, capture_output=True)

    process = subprocess.Popen([*PROGRAM, *options(data, tmp_path / "killed")], stdout=subprocess.DEVNULL)
    while process.poll() is None and not has_checkpoint(tmp_path / "killed" / "checkpoints"):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    at = open_run(tmp_path / "killed").step
    subprocess.run([*PROGRAM, "train", "--resume", str(tmp_path / "killed")], check=True, capture_output=True)

    whole, killed = open_run(tmp_path / "whole"), open_run(tmp_path / "killed")
    assert at < killed.step == whole.step
    for got, expected in zip(weights(tmp_path / "killed"), weights(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(got, expected)
    metrics = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    assert len(metrics[0]) == len(metrics[1])
