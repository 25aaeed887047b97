"""Many devices: the numbers of one; two processes that are killed and go on."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import PROGRAM, after_checkpoint, environment, weights

from jax_lstm.tasks import open_run
from jax_lstm.train.mesh import parse_mesh

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # of weights after some dozen steps of Adam: sums in another order
FLOAT16 = 2e-3  # the same where they are rounded to 11 bits
MESHES = ["one", "data=8", "data=4", "data=2,model=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mesh")
    values = np.sin(np.arange(300) / 5) + np.random.default_rng(0).normal(0, 0.1, 300)
    (folder / "wave.csv").write_text("a\n" + "".join(f"{value:.5f}\n" for value in values))
    (folder / "abc.txt").write_text("abcabd" * 400)
    return folder


def close(folder: Path, name: str, reference: str, tolerance: float) -> None:
    found, expected = (list(np.load(folder / f"{each}.npz").values()) for each in (name, reference))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())
    assert any(not np.array_equal(a, b) for a, b in zip(found, expected, strict=True)), "it ran on one device"


def norms(folder: Path, name: str) -> np.ndarray:
    """Of the gradients, call by call, NaN where one overflows: Adam does not see how large they are."""
    rows = map(json.loads, (folder / name / "metrics.jsonl").read_text().splitlines())
    return np.array([row["grad_norm"] for row in rows if "grad_norm" in row], float)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "meshes", "tolerance"),
    [
        ("forecast", MESHES, TOLERANCE),
        ("text", MESHES, TOLERANCE),
        ("seeds", MESHES, TOLERANCE),
        ("float16", MESHES[:2], FLOAT16),
    ],
)
def test_many_devices_train_as_one(folder: Path, kind: str, meshes: list[str], tolerance: float) -> None:
    command = [sys.executable, str(HERE / "on_mesh.py"), str(folder), kind, *meshes]
    done = subprocess.run(command, env=environment(8), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for mesh in meshes[1:]:
        close(folder, f"{kind} {mesh}", f"{kind} one", tolerance)
        np.testing.assert_allclose(norms(folder, f"{kind} {mesh}"), norms(folder, f"{kind} one"), rtol=tolerance)
    if kind == "forecast":
        close(folder, "forecast moved", "forecast one", tolerance)


def options(folder: Path, out: Path) -> list[str]:
    sizes = ["--window", "6", "--horizon", "2", "--hidden-size", "4", "--batch-size", "8", "--chunk-steps", "5"]
    run = [*sizes, "--epochs", "6", "--save-every", "1"]
    return ["--csv", str(folder / "wave.csv"), "--target", "a", *run, "--out", str(out)]


def processes(arguments: list[str]) -> list[subprocess.Popen[str]]:
    """Two that train together on loopback, two devices each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    join = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id"]
    return [
        subprocess.Popen(
            [*PROGRAM, "train", *arguments, *join, str(number)],
            env=environment(2),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in (0, 1)
    ]


def finish(started: list[subprocess.Popen[str]]) -> list[str]:
    said = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    return said


@pytest.mark.slow
def test_two_processes_one_of_them_killed_end_at_the_same_weights(folder: Path) -> None:
    whole, killed = folder / "whole", folder / "killed"
    said = finish(processes(options(folder, whole)))
    assert "run directory" in said[0]
    assert "epoch" not in said[1], "only one of them prints"

    started = processes(options(folder, killed))
    after_checkpoint(killed, *started)
    started[1].send_signal(signal.SIGKILL)
    started[1].wait()
    started[0].kill()
    for process in started:
        process.communicate()
    at = open_run(killed).step
    finish(processes(["--resume", str(killed)]))
    assert at < open_run(killed).step == open_run(whole).step, "they had ended before they were killed"
    for got, expected in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_process_stops_all_after_saving(folder: Path, signum: int) -> None:
    out = folder / f"signal {signum}"
    arguments = options(folder, out)
    arguments[arguments.index("--epochs") + 1] = "100000"
    started = processes(arguments)
    after_checkpoint(out, *started)
    started[1].send_signal(signum)
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [128 + signum] * 2, said
    assert "saved; resume with: jax-lstm train --resume" in said[0]


def test_meshes() -> None:
    assert parse_mesh("") == {"data": 1, "model": 1}
    assert parse_mesh("model=2, data=4") == {"data": 4, "model": 2}


@pytest.mark.slow
def test_rows_that_do_not_divide_over_the_devices(folder: Path) -> None:
    """The rows of a batch, which may be fewer than `--batch-size`; nothing is left behind."""
    (folder / "short.csv").write_text("".join((folder / "wave.csv").read_text().splitlines(keepends=True)[:69]))
    forecast = ["--csv", str(folder / "short.csv"), "--target", "a", "--window", "6", "--horizon", "2"]
    text = ["text", "--text", str(folder / "abc.txt"), "--steps", "64"]
    cases = [
        ([*forecast, "--batch-size", "64"], "over 4 devices; got batches of 41 (40 does)"),
        ([*forecast, "--batch-size", "2"], "over 4 devices; got batches of 2"),
        ([*text, "--batch-size", "64"], "over 4 devices; got batches of 33 (32 does)"),
        ([*text, "--batch-size", "32", "--debug-nans"], "`--debug-nans` must be used on one device; got 4 devices"),
    ]
    out = ["--mesh", "data=4", "--out", str(folder / "refused")]
    commands = [["train", *one, *out] for one, _ in cases]
    program = f"from jax_lstm.cli import main\nassert [main(one) for one in {commands}] == {[2] * len(cases)}"
    done = subprocess.run([sys.executable, "-c", program], env=environment(4), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line, (_, message) in zip(done.stderr.splitlines(), cases, strict=True):
        assert message in line
    assert not (folder / "refused").exists()
