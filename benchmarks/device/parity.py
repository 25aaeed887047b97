"""Parity on this device: outputs and all gradients of every kernel, against PyTorch in float64."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jax_lstm as jl
from benchmarks.core.gate import first_line
from benchmarks.core.record import ABSENT, FAILED, Row
from jax_lstm.kernels import KERNELS
from jax_lstm.tolerances import TOLERANCES, difference

PART = "parity"
STEPS, BATCH, INPUT, HIDDEN, PROJECTED = 9, 5, 3, 8, 4
LENGTHS = np.array([9, 1, 4, 9, 6], np.int32)


class Options(NamedTuple):
    num_layers: int
    bidirectional: bool
    proj_size: int
    lengths: bool

    def __str__(self) -> str:
        given = {"both directions": self.bidirectional, "projection": self.proj_size, "lengths": self.lengths}
        return ", ".join([f"{self.num_layers} layers", *(name for name, is_so in given.items() if is_so)])


GRID = [Options(*each) for each in product((1, 2), (False, True), (0, PROJECTED), (False, True))]


def parity(threads: int) -> Iterator[list[Row]]:
    """Compare every kernel at every point of `GRID`, in float32 at full precision."""
    jobs = [(name, options) for options in GRID for name in KERNELS]
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda job: _compared(*job), jobs)


def _compared(name: str, options: Options) -> list[Row]:
    """The largest relative differences of outputs and of gradients; or why the kernel refused, or what it raised."""
    try:
        worst = differences(name, options)
    except jl.InputError as error:
        return [Row(PART, str(options), name, "outputs", status=f"{ABSENT}{error}")]
    except Exception as error:  # XLA raises anything
        return [Row(PART, str(options), name, "outputs", status=f"{FAILED}{first_line(error)}")]
    return [
        Row(PART, str(options), name, kind, samples=[found],
            status="" if found <= TOLERANCES[kind].float32 else f"{FAILED}{kind} off by {found:.1e}")
        for kind, found in worst.items()
    ]  # fmt: skip


def differences(name: str, options: Options) -> dict[str, float]:
    import torch

    layers, both, projected, unequal = options
    theirs = torch.nn.LSTM(INPUT, HIDDEN, layers, bidirectional=both, proj_size=projected, dtype=torch.float64)
    ours = jl.LSTM(INPUT, HIDDEN, layers, bidirectional=both, proj_size=projected, backend=name, rngs=nnx.Rngs(0))
    weights = {key: np.asarray(value, np.float64) for key, value in jl.state_dict(ours).items()}
    theirs.load_state_dict({key: torch.tensor(value) for key, value in weights.items()})
    rng, rows = np.random.default_rng(0), layers * (1 + both)
    x = rng.standard_normal((STEPS, BATCH, INPUT)).astype(np.float32)
    state = tuple(rng.standard_normal((rows, BATCH, n)).astype(np.float32) for n in (projected or HIDDEN, HIDDEN))
    lengths = LENGTHS if unequal else None

    def by_ours(params: Any, x: Any, state: Any) -> Any:
        ys, last = jl.functional.lstm(params, x, state, lengths=lengths, backend=name)
        return jnp.sum(jnp.sin(ys)) + jnp.sum(last.h * last.h) + jnp.sum(jnp.cos(last.c)), (ys, *last)

    with jax.default_matmul_precision("highest"):
        (_, found), (d_params, d_x, d_state) = jax.jit(jax.value_and_grad(by_ours, (0, 1, 2), has_aux=True))(
            ours.params, x, state
        )
    inputs = [torch.tensor(each).double().requires_grad_() for each in (x, *state)]
    packed: Any = inputs[0]
    if unequal:
        packed = torch.nn.utils.rnn.pack_padded_sequence(packed, torch.tensor(LENGTHS), enforce_sorted=False)
    ys, (h, c) = theirs(packed, tuple(inputs[1:]))
    if unequal:
        ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, total_length=STEPS)
    (ys.sin().sum() + h.square().sum() + c.cos().sum()).backward()
    expected = {key: value.grad for key, value in theirs.named_parameters()}
    outputs = [difference(got, want.detach()).relative for got, want in zip(found, (ys, h, c), strict=True)]
    gradients = [difference(d_params[key], value).relative for key, value in expected.items()]
    gradients += [
        difference(got, want.grad).relative for got, want in zip((d_x, *d_state), inputs, strict=True)
    ]  # fmt: skip
    return {"outputs": max(outputs), "gradients": max(gradients)}
