"""What all tests of training share."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fast_compile import FAST_FLAGS

from jax_lstm.data import DataConfig


@pytest.fixture(scope="package", autouse=True)
def processes_compile_fast() -> Iterator[None]:
    """Those that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", FAST_FLAGS)
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """A noisy sine in a file of its own, cut into windows."""
    path: Path = tmp_path_factory.mktemp("series") / "wave.csv"
    values = np.sin(np.arange(300) / 5) + np.random.default_rng(0).normal(0, 0.1, 300)
    path.write_text("a\n" + "".join(f"{value:.5f}\n" for value in values))
    return DataConfig(csv=str(path), target=("a",), window=6, horizon=2, season=6)
