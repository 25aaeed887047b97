"""`jax-lstm` in processes of its own: several devices, and runs that are killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jax_lstm.cli import main
from jax_lstm.tasks import open_run
from jax_lstm.train.checkpoint import has_checkpoint

# Without pictures, which take as long as all the rest of a small run.
PROGRAM = [
    sys.executable,
    "-c",
    "import sys; sys.modules['matplotlib.figure'] = None; from jax_lstm.cli import main; sys.exit(main())",
]


def environment(devices: int) -> dict[str, str]:
    """Of a process that sees so many."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}


def weights(run: Path) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(open_run(run).weights())]


def assert_killing_changes_nothing(options: Callable[[Path], list[str]], folder: Path) -> None:
    """A run killed with SIGKILL after its first checkpoint and resumed ends as one never stopped, bit for bit.

    Only the run that is killed has a process of its own.
    """
    whole, killed = folder / "whole", folder / "killed"
    process = subprocess.Popen([*PROGRAM, *options(killed), "--save-every", "1"], stdout=subprocess.DEVNULL)
    after_checkpoint(killed, process)
    process.kill()
    process.wait()
    at = open_run(killed).step
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        assert main(options(whole)) == main(["train", "--resume", str(killed)]) == 0
    assert at < open_run(killed).step == open_run(whole).step, "it had ended before it was killed"
    for got, expected in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(got, expected)
    rows = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (whole, killed)]
    losses, resumed = ([{**row, "seconds": 0} for row in each] for each in rows)
    assert losses == resumed


def after_checkpoint(run: Path, *started: subprocess.Popen[Any]) -> None:
    """Wait for the first one, while all that were started are at work."""
    # No `**` below members: what is being written there comes and goes.
    while not any(map(has_checkpoint, (run / "checkpoints", *run.glob("members/*/checkpoints")))):
        ended = [process.communicate() for process in started if process.poll() is not None]
        assert not ended, ended
        time.sleep(0.01)
