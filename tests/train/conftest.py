"""What all tests of training share."""

from pathlib import Path

import numpy as np
import pytest

from jax_lstm.data import DataConfig, SequencesConfig, TextConfig


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """A noisy sine in a file of its own, cut into windows."""
    path: Path = tmp_path_factory.mktemp("series") / "wave.csv"
    values = np.sin(np.arange(300) / 5) + np.random.default_rng(0).normal(0, 0.1, 300)
    path.write_text("a\n" + "".join(f"{value:.5f}\n" for value in values))
    return DataConfig(csv=str(path), target=("a",), window=6, horizon=2, season=6)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextConfig:
    path = tmp_path_factory.mktemp("text") / "abc.txt"
    path.write_text("abcabd" * 300)
    return TextConfig(str(path), steps=7)


@pytest.fixture(scope="session")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> SequencesConfig:
    """Two classes: the mean of one is above zero; unequal lengths."""
    path, rng = tmp_path_factory.mktemp("sequences") / "two.csv", np.random.default_rng(0)
    lines = ["sequence,label,a,b"]
    for number in range(80):
        up = number % 2
        for _ in range(rng.integers(3, 9)):
            a, b = rng.normal(0.7 if up else -0.7), rng.normal()
            lines.append(f"s{number},{'up' if up else 'down'},{a:.4f},{b:.4f}")
    path.write_text("\n".join(lines) + "\n")
    return SequencesConfig(str(path))
