"""Commands, run as a user would."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jax_lstm.cli import main

Prints = Callable[..., str]


@pytest.fixture(scope="module")
def without_pictures() -> Iterator[None]:
    """Which take as long as all the rest of a small command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        yield


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
        assert main([str(argument) for argument in arguments]) == status
        said = capfd.readouterr()
        return said.out if status == 0 else said.err

    return run
