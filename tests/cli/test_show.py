"""Tables that fit a terminal, and pictures: what is in them."""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from small_run import COLUMNS, SMALL, call, noisy_sine

from jax_lstm.cli import pictures, plots, progress, show
from jax_lstm.data import DataConfig
from jax_lstm.data.baselines import ridge
from jax_lstm.tasks import load_task
from jax_lstm.train import Progress, TrainConfig
from jax_lstm.train.position import MemberStatus, Position

TARGETS = tuple(f"temperature_{at}" for at in range(7))


@pytest.fixture
def task(tmp_path: Path) -> Any:
    values = np.repeat(noisy_sine(), 4, axis=1)[:, : len(TARGETS)] * 1000
    lines = [",".join(TARGETS), *(",".join(map(str, row)) for row in values)]
    (tmp_path / "many.csv").write_text("\n".join(lines) + "\n")
    return load_task(TrainConfig(data=DataConfig(str(tmp_path / "many.csv"), TARGETS, window=6, horizon=3)))


def printed(draw: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    draw(console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("seconds", "expected"), [(10, []), (40, ["training: 1/4", "training: 3/4"])])
def test_in_a_file_only_long_epochs_show_progress(
    seconds: float, expected: list[str], task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now))
    two_epochs: Any = SimpleNamespace(task=replace(task, config=replace(task.config, epochs=2)))

    def draw(console: Console) -> None:
        nonlocal now
        with progress.reporting(console, two_epochs, tensorboard=False, profile=0) as report:
            for step in (1, 2, 3, 4):  # two steps an epoch
                now += seconds
                position = Position(epoch=step // 2, step=step, members=(MemberStatus(),))
                report(Progress(position, 1, 2, (1.0,), epoch_ended=step % 2 == 0))

    lines = printed(draw)
    assert [line for line in lines if "epoch" not in line] == expected
    assert sum(line.startswith("epoch") for line in lines) == 2


def test_several_targets_have_a_row_each_at_80_columns(task: Any) -> None:
    baselines = task.baselines("test")
    together, members = baselines["ridge"], ("seed 0, learning_rate 0.001", "seed 1, learning_rate 0.001")
    scores = {"all 2 together": together, **dict.fromkeys(members, together), **baselines}
    lines = printed(lambda console: show.scores_table(console, task, scores, "test", members, members[:1]))
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    for name, row in scores.items():
        mark = ["*"] if name == members[0] else []
        assert [*name.split(), *mark, f"{row['mse']:.4f}", f"{row['mae']:.4f}"] in [line.split() for line in lines]
    shown = ["all 2 together", "persistence", "seasonal-naive", "ridge"]
    for target in TARGETS:
        numbers = [f"{scores[name][f'mae {target}']:.4g}" for name in shown if name in scores]
        assert [target, *numbers] in [line.split() for line in lines]
    assert "mean absolute error of each target, in its own units" in lines
    assert any(line.startswith("* predicts: chosen by its validation loss") for line in lines)


def test_seeds_are_said_to_agree(task: Any) -> None:
    names = ["seed 0", "seed 1"]
    scores = dict(zip(names, ({task.metric: 0.5}, {task.metric: 0.7}), strict=True))
    (line,) = [" ".join(printed(lambda console: show.agreement(console, task, scores, names)))]
    heading = "agreement of 2 seeds, MSE standardised"
    assert line == f"{heading}: 0.6000 ± 0.1414, mean and standard deviation over the seeds; best: seed 0"
    assert printed(lambda console: show.agreement(console, task, scores, names[:1])) == []


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    figures = list[Any]()
    monkeypatch.setattr(plots, "_save", lambda figure, path: figures.append(figure))
    return figures


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_baselines_are_drawn_beside_the_model(task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, count = drawn(monkeypatch), task.size("test")
    own = {"JAX": np.zeros((count, 21)), "PyTorch": np.ones((count, 21))}
    pictures.forecasts(tmp_path, task, "test", own)
    names = ["persistence", "seasonal-naive", "ridge"]
    baselines = [name for name in names if name in task.baselines("test")]
    assert legend(figures[0]) == ["seen", "truth", *baselines, "JAX", "PyTorch"]
    curves = {line.get_label(): line.get_ydata() for line in figures[0].axes[0].lines}
    at = np.linspace(0, count - 1, pictures.PANELS + 2).astype(int)[1]
    scaler = task.dataset.scaler.pick(TARGETS[:1])
    expected = scaler.restore(ridge(task.dataset, task.dataset.starts["test"])[at, ::7])
    np.testing.assert_allclose(curves["ridge"], expected)
    looks = {(line.get_color(), line.get_linestyle(), line.get_linewidth()) for line in figures[0].axes[0].lines}
    assert len(looks) == len(curves), "each can be told from the others"


def test_bands_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, ahead = drawn(monkeypatch), np.zeros(2)
    panel = plots.Panel("", np.ones(3), None, {"forecast": ahead})
    panel.bands |= {"agreement of seeds": (ahead, ahead), "90% interval": (ahead, ahead)}
    plots.forecasts(tmp_path, [panel], "y")
    assert legend(figures[0]) == ["seen", "agreement of seeds", "90% interval", "forecast"]


def test_more_curves_than_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a sweep over sizes: a line of no width would be drawn nowhere."""
    figures = drawn(monkeypatch)
    plots.loss_curves(tmp_path, {f"size {at}": {"training": [2.0, 1.0]} for at in range(9)}, "MSE")
    assert min(line.get_linewidth() for line in figures[0].axes[0].lines) > 1


@pytest.mark.slow
def test_what_train_draws(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = drawn(monkeypatch)
    options = ("train", "--csv", data, *COLUMNS, *SMALL, "--season", 6, "--sweep", "num_layers=1,2", "--epochs", 1)
    assert call(*options, "--out", tmp_path / "run") == 0
    forecasts, losses = figures
    assert legend(forecasts) == ["seen", "truth", "persistence", "seasonal-naive", "ridge", "LSTM"]
    assert [text.get_text() for text in losses.axes[0].get_legend().get_texts()] == ["num_layers 1", "num_layers 2"]
