"""The barrier of `python -m benchmarks device`: lowered for a GPU, its steps among threads, and where there is none."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from typing import Any

import jax
import numpy as np
import pytest
from jax.experimental import pallas
from jax.experimental.pallas import mosaic_gpu

from benchmarks import record as records
from benchmarks.contenders.base import BACKWARD, FORWARD
from benchmarks.device import barrier
from benchmarks.sampling import Timed


def test_a_barrier_of_all_blocks_is_one_semaphore() -> None:
    """Lowered for a GPU; a semaphore for each block would wait for ever."""
    unchecked = [jax.export.DisabledSafetyCheck.custom_call("mosaic_gpu_v2")]
    exported = jax.export.export(barrier.exchange(132, 10), platforms=["cuda"], disabled_checks=unchecked)()
    (call,) = (line for line in exported.mlir_module().splitlines() if "@mosaic_gpu_v2" in line)
    assert re.search(r": \(tensor<1xi32>\) -> \(tensor<2x132xi32>", call)


BLOCKS = 5


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernel with threads for blocks; `waiting=False` runs one after the other, to its end."""
    own, arrived, count = threading.local(), threading.Condition(), 0

    def signal(*_: Any, **__: Any) -> None:
        nonlocal count
        with arrived:
            count += 1
            arrived.notify_all()

    def wait(_: Any, value: int, **__: Any) -> None:
        with arrived:
            assert arrived.wait_for(lambda: count >= value, timeout=20)

    def run(steps: int, waiting: bool = True) -> np.ndarray:
        def kernel(body: Any, out_type: Any, **_: Any) -> Any:
            slots = np.zeros(out_type.shape, out_type.dtype)

            def at(block: int) -> None:
                own.block = block
                body(slots)

            def launch() -> np.ndarray:
                with ThreadPoolExecutor(BLOCKS if waiting else 1) as pool:
                    list(pool.map(at, range(BLOCKS)))
                return slots

            return launch

        monkeypatch.setattr(mosaic_gpu, "kernel", kernel)
        monkeypatch.setattr(mosaic_gpu, "semaphore_wait", wait if waiting else signal)
        return np.asarray(barrier.exchange(BLOCKS, steps)())

    def loop(first: int, last: int, step: Any, seen: Any) -> Any:
        return reduce(lambda seen, at: step(at, seen), range(first, last), seen)

    monkeypatch.setattr(mosaic_gpu, "semaphore_signal", signal)
    monkeypatch.setattr(pallas, "get_global", lambda _: None)
    monkeypatch.setattr(jax.lax, "axis_index", lambda _: own.block)
    monkeypatch.setattr(jax.lax, "fori_loop", loop)
    return run


@pytest.mark.parametrize("steps", [7, 8])
def test_each_block_reads_what_its_neighbour_wrote_in_that_step(steps: int, threads: Any) -> None:
    np.testing.assert_array_equal(threads(steps), barrier.expected(BLOCKS, steps))


def test_blocks_that_do_not_wait_read_something_else(threads: Any) -> None:
    assert (threads(8, waiting=False) != barrier.expected(BLOCKS, 8)).any()


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there the barrier is measured")
def test_a_process_that_fails_says_why() -> None:
    """Here since there is no GPU: not what JAX adds after an error."""
    assert "CPU" in barrier.barrier(4).failed["jax"]


def test_where_the_platform_is_missing_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    platform = jax.default_backend()
    monkeypatch.setattr(jax, "default_backend", lambda: "nowhere")
    assert barrier.barrier(4).failed["jax"] == f"JAX runs on {platform}; not on nowhere"


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "LIMIT", 0.01)
    assert barrier.barrier(4).failed["jax"] == "timed out after 0 s"


def test_a_barrier_in_the_tables() -> None:
    pytest.importorskip("torch")
    from benchmarks.device import floor, tables

    row = Timed("limit", "grid", barrier.BARRIER, "jax", {}, failed={"jax": "no such device"})
    record = records.begin("device", "", {})
    record.rows.append(row)
    assert "barrier in a kernel: no such device" in tables.markdown(record)
    least = Timed("TF32", "", FORWARD, "torch", {}, shape="2,6,4,4")
    assert floor.waits(record, least, barrier.BARRIER) is None
    record.rows.append(replace(row, seconds={"jax": [3e-6, 2e-6]}, failed={}))
    assert floor.waits(record, least, barrier.BARRIER) == pytest.approx(12e-6)
    assert floor.waits(record, replace(least, measure=BACKWARD), barrier.BARRIER) == pytest.approx(24e-6)
