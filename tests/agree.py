"""The one way in which tests compare numbers: by the table of tolerances."""

from typing import Any

import numpy as np

from jax_lstm.tolerances import TOLERANCES, difference


def assert_agree(kind: str, got: Any, reference: Any, dtype: Any, name: str = "") -> None:
    """`got` has the type `dtype` and lies within the tolerance of its kind around `reference`."""
    got = np.asarray(got)
    assert got.dtype == np.dtype(dtype), f"{name or kind}: {got.dtype} instead of {dtype}"
    found, tolerance = difference(got, reference), TOLERANCES[kind].of(dtype)
    assert found.relative <= tolerance, (
        f"{name or kind}: relative difference {found.relative:.2e} above {tolerance:.0e}"
    )
