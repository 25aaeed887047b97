"""Tests of the benchmarks need PyTorch, and use one thread of it."""

import importlib.util
from collections.abc import Iterator

import pytest

if not importlib.util.find_spec("torch"):
    collect_ignore_glob = ["*"]


@pytest.fixture(scope="module", autouse=True)
def programs(request: pytest.FixtureRequest) -> None:
    """Those that are measured are compiled anew."""
    if not request.module.__name__.endswith("test_accuracy"):
        request.getfixturevalue("compiled_anew")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Commands set their own number, for the whole process."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
