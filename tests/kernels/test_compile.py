"""Programs for TPUs are compiled by libtpu, the real compiler, on a machine without one. Nothing is run."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

pytest.importorskip("libtpu", reason='libtpu is not installed: pip install ".[tpu-compile]"')

from kernels.compiled_step import assert_gradients_are_reduced_once

import jax_lstm as jl
from benchmarks.core.contenders.base import BACKWARD, FORWARD
from benchmarks.device.compile_for import PEAKS, TPUS, compiled
from benchmarks.device.compiled import FROZEN, PALLAS, SCAN, Compiled, Program, floor, row
from benchmarks.speed.scaling import CALLS, Size, Target, step
from jax_lstm.params import Sizes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled_anew")]

STEPS, BATCH, HIDDEN = 128, 64, 256
KERNELS = [SCAN, "auto", PALLAS]


def layer(backend: str, dtype: str, chip: str = "v5e") -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function of parameters and inputs, and their shapes."""
    kernel: Any = jl.kernels.Fused(lowering=PALLAS, chip=chip) if backend == PALLAS else backend
    params = {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in Sizes(HIDDEN, HIDDEN, 1).shapes().items()}
    xs = jax.ShapeDtypeStruct((STEPS, BATCH, HIDDEN), dtype)
    return lambda params, xs: jl.functional.lstm(params, xs, dtype=dtype, backend=kernel)[0], (params, xs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("chip", TPUS)
def test_every_generation_compiles_it_with_gradients(chip: str, backend: str, dtype: str) -> None:
    if dtype == "float32" and chip != "v5e":
        pytest.skip("one type is enough beyond the first generation")
    run, shapes = layer(backend, dtype, chip)
    found = compiled(jax.grad(lambda *args: jnp.sum(run(*args).astype(jnp.float32)), (0, 1)), *shapes, chip=chip)
    assert ("tpu_custom_call" in found.as_text()) is (backend == PALLAS)


@pytest.mark.parametrize("backend", [SCAN, "auto"])
def test_a_step_of_the_projected_inputs_is_one_block(backend: str) -> None:
    """XLA's own choice, {2,0,1}, puts the steps of a row side by side, and every step gathers its rows."""
    run, shapes = layer(backend, "bfloat16")
    text = compiled(run, *shapes).as_text()
    layouts = set(re.findall(rf"f32\[{STEPS},{BATCH},{HIDDEN}\]\{{(\d,\d,\d)", text))
    assert layouts == {"2,1,0"}


def test_cycles_of_the_loops() -> None:
    found = {name: row("v5e", Program(128, 8, "bfloat16", FORWARD, name)) for name in (SCAN, FROZEN)}
    for each in found.values():
        assert each.failed == ""
        assert each.loop is not None
        assert (each.loop + each.products / PEAKS["v5e"]) / each.steps > floor("v5e", 128, 8, FORWARD)
        assert each.products == 2.0 * STEPS * 8 * 512 * 128  # the inputs of all steps
    backward = row("v5e", Program(128, 8, "bfloat16", BACKWARD, FROZEN))
    assert (backward.loop or 0) > 2 * (found[FROZEN].loop or 0)


def test_a_program_that_does_not_compile_says_why() -> None:
    found = row("v5e", Program(128, 8, "float12", FORWARD, SCAN))
    assert isinstance(found, Compiled)
    assert found.loop is None
    assert "float12" in found.failed


def test_parameters_are_gathered_once_a_training_step() -> None:
    """One of them is spread over the loop of time steps, and is still one."""
    found = step(Size(128, 1, 16, 4), 4, 2, Target("v5e:2x4"))
    gathers = [each for each in found.exchanges if each.kind == "all-gather"]
    assert {each.times for each in gathers} == {CALLS}
    gathered = sum(each.bytes for each in gathers)  # of weights in bfloat16, as products take them on a TPU
    assert found.parameters / 2 <= gathered <= found.parameters


@pytest.mark.parametrize("kernel", ["auto", PALLAS])
def test_a_training_step_over_a_slice(kernel: str) -> None:
    assert_gradients_are_reduced_once("v5e:2x4", kernel)
