"""Commands, run as a user would."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_run import COLUMNS, SMALL, call, noisy_sine, write

Prints = Callable[..., str]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("data") / "sine.csv", noisy_sine())


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, data: str) -> Path:
    """A run of `jax-lstm train`, with its pictures; no test changes it."""
    directory = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "matplotlib.figure", raising=False)  # where a module is without pictures
        assert call("train", "--csv", data, *COLUMNS, *SMALL, "--out", directory) == 0
    return directory


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test of a module that has none."""
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)


@pytest.fixture
def says(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Prints:
    """Run a command that is to end with `status`; what it prints, or what it says of its failure."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments: Any, status: int = 0) -> str:
        capfd.readouterr()
        assert call(*arguments) == status
        said = capfd.readouterr()
        return said.out if status == 0 else said.err or said.out

    return run
