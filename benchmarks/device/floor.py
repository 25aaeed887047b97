"""Limits of the device: matrix products and memory, which bound any LSTM."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.core.contenders.base import FORWARD
from benchmarks.core.measure import product
from benchmarks.core.record import SECONDS, Record, Row
from benchmarks.core.sampling import Plan, sample
from benchmarks.device.grid import PRECISIONS, TORCH_HAS, computed_in

PART = "limit"
PRODUCT, COPY = "product", "copy"


class Sizes(NamedTuple):
    """Sizes to measure with: rows of a square matrix, bytes of an array."""

    matrix: int = 8192
    array: int = 2**30


def limits(sizes: Sizes, plan: Plan) -> Iterator[list[Row]]:
    for name, precision in PRECISIONS.items():
        with computed_in(precision):
            rows = product(PART, name, sizes.matrix, plan, precision.dtype, jax.default_backend() in TORCH_HAS)
        yield rows
    yield _copy(sizes.array, plan)


def _copy(size: int, plan: Plan) -> list[Row]:
    """The copy; `flops` are bytes read and written."""
    array, plus = jnp.zeros(size // 4, jnp.float32), jax.jit(lambda array: array + 1)
    seconds, _ = sample({"jax": lambda: plus(array).block_until_ready()}, plan)
    about = {"shape": f"{size:,} bytes", "flops": 2.0 * size}
    return [Row(PART, "memory", "jax", COPY, SECONDS, seconds["jax"], about=about)]


class Floor(NamedTuple):
    """A lower bound on the seconds of a call, and what sets it."""

    seconds: float
    bound: str


def floor(record: Record, row: Row) -> Floor | None:
    """The larger of the time for the products and for memory traffic, at the measured rates.

    A forward pass reads weights and inputs and writes outputs; the backward pass moves as much again, since the chip
    may keep the rest. None if the limits were not measured.
    """
    multiplied, copied = _rate(record, row.part, PRODUCT), _rate(record, "memory", COPY)
    if not multiplied or not copied:
        return None
    batch, steps, inputs, hidden = map(int, row.about["shape"].split(",")[:4])
    width = np.dtype(jnp.dtype(PRECISIONS[row.part].dtype)).itemsize
    passes = 1 if row.measure == FORWARD else 2
    moved = passes * width * (4 * hidden * (inputs + hidden) + steps * batch * (inputs + hidden))
    found = {"products": row.about["flops"] / multiplied, "memory": moved / copied}
    bound = max(found, key=lambda name: found[name])
    return Floor(found[bound], bound)


def _rate(record: Record, case: str, measure: str) -> float:
    """Operations or bytes per second; 0 if not measured."""
    rows = [row for row in record.of(PART, case, measure) if row.samples]
    return max((row.about["flops"] / min(row.samples) for row in rows), default=0.0)
