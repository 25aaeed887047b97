"""Every combination of options against `torch.nn.LSTM` in float64: outputs, last states and all gradients."""

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from flax import nnx

import jax_lstm as jl

torch: Any = pytest.importorskip("torch")

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 4, 6
LENGTHS = {"no lengths": None, "sorted": (5, 3, 1), "unsorted": (2, 5, 4)}
OPTIONS = ("bias", "bidirectional", "batch_first", "lengths", "state", "proj_size", "num_layers")
GRID = list(product((True, False), (False, True), (False, True), LENGTHS, (False, True), (0, 3), (1, 2)))


def by_torch(reference: Any, ins: list[Any], lengths: tuple[int, ...] | None, batch_first: bool, state: bool) -> Any:
    """Outputs (padded) and last state, through a `PackedSequence` where there are lengths."""
    x, given = ins[0], tuple(ins[1:]) if state else None
    if lengths is None:
        ys, last = reference(x, given)
        return [ys, *last]
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first, enforce_sorted=False)
    ys, last = reference(packed, given)
    return [rnn.pad_packed_sequence(ys, batch_first, total_length=STEPS)[0], *last]


@pytest.mark.parametrize(OPTIONS, GRID)
def test_is_pytorchs(
    bias: bool, bidirectional: bool, batch_first: bool, lengths: str, state: bool, proj_size: int, num_layers: int,
    x64: None,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    options: dict[str, Any] = {"bidirectional": bidirectional, "proj_size": proj_size}
    reference = torch.nn.LSTM(INPUT, HIDDEN, num_layers, bias, batch_first, **options).double()
    lstm = jl.LSTM(INPUT, HIDDEN, num_layers, bias, batch_first, **options, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    jl.load_state_dict(lstm, reference.state_dict())
    rng = np.random.default_rng(0)
    directions = 2 if bidirectional else 1
    x = rng.standard_normal((BATCH, STEPS, INPUT) if batch_first else (STEPS, BATCH, INPUT))
    h = rng.standard_normal((num_layers * directions, BATCH, proj_size or HIDDEN))
    c = rng.standard_normal((num_layers * directions, BATCH, HIDDEN))
    ins = [torch.tensor(array, requires_grad=True) for array in ((x, h, c) if state else (x,))]
    expected = by_torch(reference, ins, LENGTHS[lengths], batch_first, state)
    d_out = [rng.standard_normal(out.shape) for out in expected]
    torch.autograd.backward(expected, [torch.tensor(array) for array in d_out])

    graph, params = nnx.split(lstm)

    @jax.jit
    def run(params: nnx.State, x: jax.Array, *state: jax.Array) -> Any:
        def outputs(params: nnx.State, x: jax.Array, *state: jax.Array) -> list[jax.Array]:
            ys, last = nnx.merge(graph, params)(x, state or None, lengths=LENGTHS[lengths])
            return [ys, *last]

        outs, pullback = jax.vjp(outputs, params, x, *state)
        return outs, pullback([jnp.asarray(array) for array in d_out])

    got, (d_params, *d_ins) = run(params, *(jnp.asarray(one.detach().numpy()) for one in ins))
    for ours, theirs in zip(got, expected, strict=True):
        assert_agree("outputs", ours, theirs.detach(), "float64")
    for ours, theirs in zip(d_ins, ins, strict=True):
        assert_agree("gradients", ours, theirs.grad, "float64")
    gradients = jl.state_dict(nnx.merge(graph, d_params))
    named = dict(reference.named_parameters())
    assert gradients.keys() == named.keys()
    for name, parameter in named.items():
        assert_agree("gradients", gradients[name], parameter.grad, "float64", name)
