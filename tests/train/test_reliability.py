"""What goes wrong on disks: each gives one line, and loses nothing. All of it is provoked for real."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import PROGRAM, after_checkpoint

from jax_lstm.cli import main
from jax_lstm.data import DataConfig
from jax_lstm.tasks import open_run
from jax_lstm.train.checkpoint import has_checkpoint, save_checkpoint
from jax_lstm.train.lock import locked

# Writes beyond so many bytes fail, as on a full disk.
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
from jax_lstm.cli import main
sys.exit(main(sys.argv[1:]))
"""
pytestmark = [
    pytest.mark.usefixtures("compiled_anew"),  # a program cannot be written to a full disk either, of which JAX warns
    pytest.mark.skipif(sys.platform == "win32", reason="limits and permissions of POSIX"),
]


def train(data: DataConfig, out: Path, *further: object) -> list[str]:
    sizes = ["--window", str(data.window), "--horizon", str(data.horizon), "--hidden-size", "4", "--batch-size", "8"]
    return ["train", "--csv", data.csv, "--target", "a", *sizes, "--out", str(out), *map(str, further)]


def ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def only_line(done: subprocess.CompletedProcess[str], status: int = 2) -> str:
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("jax-lstm: error: ")
    return line


@pytest.fixture(scope="module")
def run(data: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reliability") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        assert main(train(data, out, "--epochs", 2, "--network", "tutorial")) == 0
    return out


def unprivileged(command: list[str]) -> list[str]:
    """The command without the right to write what permissions forbid, which root has."""
    if os.geteuid():
        return command
    if not shutil.which("setpriv"):
        pytest.skip("root, and no setpriv to give its rights up")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_before(run: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(run, tmp_path / "run"))
    before = open_run(again).step
    limited = [sys.executable, "-c", LIMITED.format(2000), "train", "--resume", str(again), "--epochs", "3"]
    line = only_line(ran(limited))
    assert "cannot be written" in line
    assert open_run(again).step == before
    open_run(again).weights()
    assert ran([*PROGRAM, "train", "--resume", str(again), "--epochs", "3"]).returncode == 0
    assert open_run(again).step > before


@pytest.mark.slow
def test_a_full_disk_at_the_first_checkpoint(data: DataConfig, tmp_path: Path) -> None:
    limited = [sys.executable, "-c", LIMITED.format(4000), *train(data, tmp_path / "run", "--epochs", 1)]
    assert "the checkpoint cannot be written" in only_line(ran(limited))
    assert not has_checkpoint(tmp_path / "run" / "checkpoints")


@pytest.mark.slow
def test_a_run_directory_that_may_not_be_written(run: Path, data: DataConfig, tmp_path: Path) -> None:
    again = Path(shutil.copytree(run, tmp_path / "run"))
    for path in (again, *again.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        resumed = ran(unprivileged([*PROGRAM, "train", "--resume", str(again), "--epochs", "3"]))
        assert f"{again}" in only_line(resumed)
        assert "Permission denied" in resumed.stderr
        scores = ran(unprivileged([*PROGRAM, "evaluate", str(again)]))
        assert scores.returncode == 0, "what only reads needs no permission to write"
        placed = ran(unprivileged([*PROGRAM, *train(data, again / "new")]))
        assert "run/new: Permission denied" in only_line(placed)
    finally:
        for path in (again, *again.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert open_run(again).step == open_run(run).step


@pytest.mark.slow
def test_two_runs_in_one_directory(data: DataConfig, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = train(data, out, "--epochs", 100000, "--save-every", 1)
    first = subprocess.Popen([*PROGRAM, *command], stdout=subprocess.DEVNULL)
    try:
        after_checkpoint(out, first)
        before = (out / "config.json").read_bytes()
        line = only_line(ran([*PROGRAM, "train", "--resume", str(out), "--epochs", "77"]))
        assert "another run is at work in this directory" in line
        assert (out / "config.json").read_bytes() == before
        assert first.poll() is None, "the first one goes on"
    finally:
        first.kill()
        first.wait()
    assert ran([*PROGRAM, "evaluate", str(out)]).returncode == 0


def test_two_runs_that_make_the_same_directory_at_once(data: DataConfig, tmp_path: Path, capsys: Any) -> None:
    with locked(tmp_path):  # it is still empty, as the other run has written nothing yet
        assert main(train(data, tmp_path)) == 2
    assert "another run is at work in this directory" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["cut", "foreign", "config", "no config"])
def test_a_corrupt_or_foreign_checkpoint(tmp_path: Path, damage: str, capsys: Any) -> None:
    again = Path(shutil.copytree(Path(__file__).parent / "saved" / "forecast-1", tmp_path / "run"))
    latest = again / "checkpoints" / str(open_run(again).step)
    if damage == "cut":
        path = max(latest.rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
        path.write_bytes(path.read_bytes()[:-5])
        expected = f"{latest}: the checkpoint is damaged: "
    elif damage == "foreign":  # complete, but of another program
        shutil.rmtree(again / "checkpoints")
        save_checkpoint(again / "checkpoints", 7, {"weight": np.ones(3)}, {"made by": "another program"})
        expected = "the checkpoint is not one of jax-lstm train"
    elif damage == "config":
        (again / "config.json").write_text(json.dumps({"epochs": "many"}))
        expected = "config.json, field 'epochs': expected int; got 'many'"
    else:
        (again / "config.json").unlink()
        expected = "config.json: no such file"
    for command in (["evaluate"], ["train", "--resume"])[: 1 if damage == "foreign" else 2]:
        assert main([*command, str(again)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert expected in line
