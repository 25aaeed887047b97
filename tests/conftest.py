"""Fixtures and helpers that every test may use."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

# PyTorch's threads wait for each other by spinning, for long where other workers have the other cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# All tests, workers and child processes of a run share one compilation cache.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory(prefix="compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
CACHE = os.environ["JAX_COMPILATION_CACHE_DIR"]
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)

DTYPES = ("float32", "float64")


@pytest.fixture(autouse=True)
def same_configuration() -> Iterator[None]:
    """A test that leaves JAX configured otherwise changes the tests after it."""
    before = dict(jax.config.values)
    yield
    after = {**jax.config.values, "jax_platforms": before["jax_platforms"]}  # which is read only once, at the start
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert not changed, f"left changed: {changed}"


@pytest.fixture(params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> Any:
    """Run the test in float32 and in float64, with JAX set to it."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.fixture
def x64() -> Any:
    """Run the test with JAX's 64-bit types."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def compiled_anew() -> Iterator[None]:
    """Nothing comes from the cache, in child processes neither: for tests of what a compilation takes and writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JAX_COMPILATION_CACHE_DIR")
        patch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
        jax.config.update("jax_compilation_cache_dir", None)
        reset_cache()
        yield
    jax.config.update("jax_compilation_cache_dir", CACHE)
    reset_cache()


@pytest.fixture(scope="module")
def without_pictures() -> Iterator[None]:
    """Which take as long as all the rest of a small command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        yield


SLOW = [Path(__file__).with_name(name) for name in ("benchmarks", "proof")]  # folders in which every test is slow


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import what the plain run leaves out."""
    return True if collection_path in SLOW and config.option.markexpr == "not slow" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(folder in item.path.parents for folder in SLOW):
            item.add_marker(pytest.mark.slow)
