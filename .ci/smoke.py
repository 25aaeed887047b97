"""Test an installed jax-lstm, as `.ci/release` does: `python -I .ci/smoke.py`. The native kernel must be there."""

import json
import subprocess
import sys
import sysconfig
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

import jax_lstm as jl
from jax_lstm.kernels.fused import native_status
from jax_lstm.tolerances import TOLERANCES, difference


def same_numbers() -> None:
    """Outputs and gradients of the native kernel are those of the textbook recurrence."""
    params = nnx.state(jl.LSTM(5, 7, num_layers=2, bidirectional=True, rngs=nnx.Rngs(0)))
    xs = jax.random.normal(jax.random.key(0), (9, 6, 5))

    @partial(jax.jit, static_argnames="backend")
    def run(params: nnx.State, backend: str) -> tuple[Any, jax.Array]:
        def loss(params: nnx.State) -> tuple[jax.Array, jax.Array]:
            ys, _ = jl.functional.lstm(params, xs, backend=backend)
            return jnp.sum(ys**2), ys

        return jax.grad(loss, has_aux=True)(params)

    (gradients, ys), (expected_gradients, expected_ys) = run(params, "native"), run(params, "reference")
    pairs = [("outputs", ys, expected_ys)]
    pairs += [("gradients", *pair) for pair in zip(*map(jax.tree.leaves, (gradients, expected_gradients)), strict=True)]
    assert len(pairs) == 17  # four arrays for each of two layers and two directions
    for kind, found, expected in pairs:
        relative = difference(found, expected).relative
        assert relative <= TOLERANCES[kind].float32, f"{kind} differ by {relative}"


def command(*arguments: str) -> str:
    """The output of a command, which must succeed."""
    program = Path(sysconfig.get_path("scripts"), "jax-lstm")
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def commands() -> None:
    """A forecaster learns the packaged weather: it is better than persistence."""
    assert native_status() in " ".join(command("info").split())
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder, "run"))
        command("train", "--window", "24", "--hidden-size", "8", "--epochs", "1", "--out", run)
        scores = json.loads(Path(run, "scores.json").read_text())["scores"]
        assert scores["LSTM"]["mse"] < scores["persistence"]["mse"], scores


if __name__ == "__main__":
    assert Path(jl.__file__).is_relative_to(sys.prefix), f"{jl.__file__} is not what was installed"
    assert jl.__version__ == version("jax-lstm")
    assert native_status().startswith("available"), native_status()
    same_numbers()
    commands()
    print(f"jax-lstm {jl.__version__}, jax {jax.__version__}, native kernel {native_status()}: works")
