"""Fixtures for the tests of kernels."""

import os

import pytest

from jax_lstm.kernels.fused import unavailable


@pytest.fixture(autouse=True)
def native_is_there(request: pytest.FixtureRequest) -> None:
    """Skip what needs the native kernel where it is missing, unless the environment says that it must be there."""
    if unavailable() and os.environ.get("JAX_LSTM_NATIVE") != "1" and "native" in request.module.__name__:
        pytest.skip(f"native kernel: {unavailable()}")
