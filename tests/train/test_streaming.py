"""Training on series that stay on disk: the batches, the scores, a killed run, two hosts, and little memory."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from processes import assert_killing_changes_nothing, environment

from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.cli import main
from jax_lstm.data import DataConfig
from jax_lstm.tasks import load_task, open_run, streaming
from jax_lstm.tasks.evaluation import evaluate
from jax_lstm.train import ModelConfig, OptimConfig, TrainConfig, fit

pytest.importorskip("grain")
HERE = Path(__file__).parent
ROWS, WINDOW, HORIZON = 600, 6, 2
TRAIN = 420 - WINDOW - HORIZON + 1  # windows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`wave.npy`: a noisy sine, and a column that holds the number of its row."""
    folder = tmp_path_factory.mktemp("streaming")
    wave = np.sin(np.arange(ROWS) / 5) + np.random.default_rng(0).normal(0, 0.1, ROWS)
    np.save(folder / "wave.npy", np.stack([wave, np.arange(ROWS)], axis=1).astype(np.float32))
    return folder


def config_for(folder: Path, **options: Any) -> TrainConfig:
    data = DataConfig(str(folder / "wave.npy"), ("0",), window=WINDOW, horizon=HORIZON, season=31, stream=True)
    of_data = {name: options.pop(name) for name in ("epoch_windows", "eval_windows", "target") if name in options}
    common = TrainConfig(
        data=replace(data, **of_data), model=ModelConfig(8, network="tutorial"), batch_size=16, chunk_steps=5
    )
    return replace(common, **options)


def test_columns_that_moved_are_found_by_their_names(tmp_path: Path) -> None:
    path, values = str(tmp_path / "data.npz"), np.random.default_rng(0).normal((5, -5), (1, 3), (200, 2))
    np.savez(path, a=values[:, 0], b=values[:, 1])
    config = TrainConfig(data=DataConfig(path, ("a",), window=4, horizon=2))
    before = load_task(config)
    np.savez(path, b=values[:, 1], c=values[:, 1], a=values[:, 0])
    after = load_task(config, before.about)
    np.testing.assert_array_equal(after.arrays[0], before.arrays[0])
    assert after.about == before.about


def numbers(task: Any, blocks: Any) -> np.ndarray:
    """The first rows of the windows in `blocks` (calls, S, B, window + horizon, 2)."""
    scaler = task.stream.scaler
    return np.round(np.stack(list(blocks))[..., 0, 1] * scaler.scale[1] + scaler.mean[1]).astype(int)


def test_an_epoch_takes_each_window_once_in_an_order_of_its_own(folder: Path) -> None:
    config = config_for(folder)
    task = load_task(config)
    calls, steps, batch = task.shape
    assert (calls, steps, batch) == (5, 5, 16)  # 413 windows are 25 batches
    first, again, second = (numbers(task, task.batches(config, epoch)) for epoch in (0, 0, 1))
    assert first.shape == task.shape
    assert len(set(first.ravel().tolist())) == first.size
    assert first.min() >= 0
    assert first.max() < TRAIN
    assert np.abs(np.diff(first.ravel())).mean() > TRAIN / 5, "the order is not shuffled"
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, numbers(task, task.batches(replace(config, seed=1), 0)))
    np.testing.assert_array_equal(numbers(task, task.batches(config, 0, 4)), first[4:])


def test_an_epoch_of_some_windows_draws_others_each_time(folder: Path) -> None:
    config = config_for(folder, epoch_windows=80)
    task = load_task(config)
    drawn = [set(numbers(task, task.batches(config, epoch)).ravel().tolist()) for epoch in range(10)]
    assert all(len(each) == 80 for each in drawn)
    assert len(set.union(*drawn)) > 0.8 * TRAIN  # of 413 one is left out with a chance of (1 - 80/413)^10 = 0.12


def test_a_batch_is_what_the_file_holds_standardised(folder: Path) -> None:
    config = config_for(folder, target=("1", "0"))
    task, values = load_task(config), np.load(folder / "wave.npy").astype(float)
    values = (values - values[:420].mean(axis=0)) / values[:420].std(axis=0)
    block = next(iter(task.batches(config, 0)))
    starts = numbers(task, [block])[0, 2]
    (x, _), y = task.gather((), jax.numpy.asarray(block[2]))
    rows = starts[:, None] + np.arange(WINDOW + HORIZON)
    np.testing.assert_allclose(x, values[rows[:, :WINDOW]], atol=1e-6)
    np.testing.assert_allclose(y, values[rows[:, WINDOW:]][..., [1, 0]].reshape(16, -1), atol=1e-6)


@pytest.mark.parametrize(("batches", "shape"), [(2, (13, 1, 16)), (0, (25, 1, 16))])  # of 25 batches
def test_a_call_holds_no_more_than_fits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, batches: int, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(streaming, "CALL_BYTES", batches * 16 * 8 * 2 * 4 + 1)
    assert load_task(config_for(folder)).shape == shape


@pytest.mark.slow
def test_it_learns_and_the_baselines_are_those_of_the_windows_in_the_file(folder: Path, tmp_path: Path) -> None:
    config = config_for(folder, epochs=12, optim=OptimConfig(learning_rate=0.02), eval_windows=40)
    task = load_task(config)
    fit(task, tmp_path / "run")
    scores = evaluate(open_run(tmp_path / "run"), load_task(config, task.about), "test").scores

    wave = np.load(folder / "wave.npy")[:, 0].astype(float)
    scale = wave[:420].std()
    starts = 480 - WINDOW + np.arange(40) * (600 - 480 - HORIZON + 1) // 40
    ahead = starts[:, None] + WINDOW + np.arange(HORIZON)
    last = np.repeat(starts[:, None] + WINDOW - 1, HORIZON, axis=1)
    for name, rows in (("persistence", last), ("seasonal-naive", ahead - 31)):
        error = np.mean(((wave[rows] - wave[ahead]) / scale) ** 2)
        np.testing.assert_allclose(scores[name]["mse"], error, rtol=1e-4)
    assert scores["LSTM"]["mse"] < 0.5 * scores["persistence"]["mse"]
    assert scores["ridge"]["mse"] < 0.7 * scores["persistence"]["mse"]


def options(folder: Path, out: Path) -> list[str]:
    sizes = ["--window", "6", "--horizon", "2", "--hidden-size", "4", "--batch-size", "16", "--chunk-steps", "3"]
    data = ["--csv", str(folder / "wave.npy"), "--stream", "--target", "0", "--epoch-windows", "200"]
    return ["train", *data, *sizes, "--epochs", "8", "--out", str(out)]


@pytest.mark.slow
def test_killed_and_resumed_is_bit_identical(folder: Path, tmp_path: Path) -> None:
    assert_killing_changes_nothing(lambda out: options(folder, out), tmp_path)


@pytest.mark.slow
def test_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main([*options(folder, run), "--epochs", "1", "--eval-windows", "50"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "wave.npy: 600 rows, read from disk as needed" in said
    assert "192 of 413 training windows per epoch, drawn anew" in said
    assert "scores are of 50 / 50 / 50 evenly spaced windows" in said
    assert (run / "forecasts.png").exists()

    assert main(["evaluate", str(run), "--out", str(tmp_path / "scores.json")]) == 0
    found = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert found == json.loads((run / "scores.json").read_text())["scores"]
    assert set(found) == {"LSTM", "persistence", "seasonal-naive", "ridge"}

    assert main(["forecast", str(run)]) == 0
    streamed = (run / "forecast.csv").read_text()
    assert [line.split(",")[0] for line in streamed.splitlines()] == ["row", "601", "602"]
    rows = np.load(folder / "wave.npy")
    (tmp_path / "wave.csv").write_text("0,1\n" + "".join(f"{a!r},{b!r}\n" for a, b in rows.astype(float).tolist()))
    assert main(["forecast", str(run), "--csv", str(tmp_path / "wave.csv"), "--out", str(tmp_path / "f.csv")]) == 0
    assert (tmp_path / "f.csv").read_text() == streamed
    assert main(["evaluate", str(run), "--csv", str(tmp_path / "wave.csv")]) == 0


@pytest.mark.slow
def test_two_hosts_read_their_own_rows_alone(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, str(HERE / "on_stream.py"), str(folder)]
    started = [
        subprocess.Popen([*command, "two", port, at], env=environment(2), stderr=subprocess.PIPE, text=True)
        for at in ("0", "1")
    ]
    said = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    subprocess.run([*command, "one"], env=environment(1), check=True, capture_output=True)

    first, second, alone = (json.loads((folder / f"{name}.json").read_text()) for name in ("two 0", "two 1", "one 0"))
    assert len(first) == len(second) == 2 * 160 / 2  # two epochs
    assert len(alone) == 2 * 160
    assert sorted(first + second) == sorted(alone)
    files = [np.load(folder / f"{name}.npz") for name in ("two 0", "two 1", "one 0")]
    for ours, theirs, expected in zip(*(file.values() for file in files), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())  # sums in another order


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory held")
def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    """256 MB beside 2 MB."""
    piece = np.random.default_rng(0).normal(size=(2**16, 8)).astype(np.float32)
    for name, count in (("small.npy", 1), ("large.npy", 128)):
        file = np.lib.format.open_memmap(tmp_path / name, "w+", np.float32, (count * len(piece), 8))
        for at in range(count):
            file[at * len(piece) : (at + 1) * len(piece)] = piece
        del file
    assert (tmp_path / "large.npy").stat().st_size > 256e6
    names = [str(tmp_path / name) for name in ("small.npy", "large.npy")]
    command = [sys.executable, str(HERE / "in_little_memory.py"), str(tmp_path), *names]
    done = subprocess.run(command, env=environment(1), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    small, large = json.loads(done.stdout.splitlines()[-1])
    assert large - small < 100e6


@pytest.mark.slow
def test_a_value_that_turns_bad_while_training_is_named(folder: Path, tmp_path: Path) -> None:
    values = np.load(folder / "wave.npy")
    np.save(tmp_path / "wave.npy", values)
    task = load_task(config_for(tmp_path))
    with (tmp_path / "wave.npy").open("r+b") as file:
        file.seek(128 + 8 * 200)
        file.write(np.float32(np.nan).tobytes())
    with pytest.raises(InputError, match=r"wave.npy, row 200, column '0': with --stream every value must be a finite"):
        fit(task, tmp_path / "run")


def test_without_grain_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(MissingExtraError, match="--stream needs the package grain: pip install grain, or the extra"):
        load_task(config_for(folder))
