"""Differences: relative to the largest magnitude, and never passed by what is not a number."""

import math

import numpy as np
import pytest

from jax_lstm.tolerances import TOLERANCES, difference


def test_difference() -> None:
    found = difference([1.0, -4.5], [1.5, -4.0])
    assert found == (0.5, 0.125)
    assert difference([0.0], [0.0]) == (0, 0)
    assert difference([], []) == (0, 0)


@pytest.mark.parametrize(("got", "reference"), [([math.nan], [1.0]), ([1.0], [math.inf]), ([math.nan], [math.nan])])
def test_what_is_not_finite_never_agrees(got: list[float], reference: list[float]) -> None:
    assert difference(got, reference).relative == math.inf


def test_anything_differs_from_zero() -> None:
    assert difference([1e-30], [0.0]).relative == math.inf


def test_shapes_must_be_equal() -> None:
    with pytest.raises(AssertionError, match=r"\(2,\) against \(1,\)"):
        difference(np.zeros(2), np.zeros(1))


def test_each_row_has_its_reason() -> None:
    for name, row in TOLERANCES.items():
        assert 0 < row.float64 < row.float32 < 1e-2, name
        assert len(row.reason) > 20, name
