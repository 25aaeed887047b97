"""A module of ours beside PyTorch's: outputs, last states and the gradients of all that goes in, by name."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from fast_compile import fast_jit
from flax import nnx

torch: Any = pytest.importorskip("torch")

Arrays = dict[str, Any]


def assert_same(
    reference: Any, graph: Any, params: nnx.State, x: Any, state: Any, lengths: Any = None, seed: int = 0
) -> None:
    """`reference` is a `torch.nn.LSTM` or `torch.nn.LSTMCell`; `nnx.split` makes `graph` and `params` of ours.

    All are of the type of `x`. What is pulled back is drawn from `seed`, so that no two outputs weigh the same.
    """
    ins = {"x": torch.tensor(x, requires_grad=True)}
    if state is not None:
        ins |= {name: torch.tensor(part, requires_grad=True) for name, part in zip(("h_0", "c_0"), state, strict=True)}
    outputs = by_torch(reference, *ins.values(), lengths=lengths)
    rng = np.random.default_rng(seed)
    d_outputs = {name: rng.standard_normal(tuple(out.shape)).astype(x.dtype) for name, out in outputs.items()}
    reference.zero_grad()
    torch.autograd.backward([*outputs.values()], [torch.tensor(d) for d in d_outputs.values()])
    leaves = ins | dict(reference.named_parameters())

    ours, (d_params, d_x, d_state) = by_ours(graph, params, x, state, lengths, d_outputs)
    gradients = {"x": d_x} | {str(path[0]): param[...] for path, param in nnx.to_flat_state(d_params)}
    if d_state is not None:
        gradients |= {"h_0": d_state[0], "c_0": d_state[1]}
    assert ours.keys() == outputs.keys()
    assert gradients.keys() == leaves.keys()
    for name, output in outputs.items():
        assert_agree("outputs", ours[name], output.detach(), x.dtype, name)
    for name, leaf in leaves.items():
        assert_agree("gradients", gradients[name], leaf.grad, x.dtype, f"gradient of {name}")


def by_torch(module: Any, x: Any, h: Any = None, c: Any = None, *, lengths: Any = None) -> Arrays:
    state = None if h is None else (h, c)
    if isinstance(module, torch.nn.LSTMCell):
        return dict(zip("hc", module(x, state), strict=True))
    if lengths is None:
        ys, (h, c) = module(x, state)
        return {"ys": ys, "h": h, "c": c}
    first, rnn = module.batch_first, torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=first, enforce_sorted=False)
    ys, (h, c) = module(packed, state)
    ys, _ = rnn.pad_packed_sequence(ys, batch_first=first, total_length=x.shape[1 if first else 0])
    return {"ys": ys, "h": h, "c": c}


@functools.partial(fast_jit, static_argnums=0)
def by_ours(graph: Any, params: nnx.State, x: Any, state: Any, lengths: Any, d_outputs: Arrays) -> Any:
    """The same outputs, and the gradients of `params`, `x` and `state`, compiled in one piece."""

    def call(params: nnx.State, x: jax.Array, state: Any) -> Arrays:
        module = nnx.merge(graph, params)
        if isinstance(module, nnx.RNNCellBase):
            (h, c), _ = module(state, x)
            return {"h": h, "c": c}
        ys, (h, c) = module(x, state, lengths=lengths)
        return {"ys": ys, "h": h, "c": c}

    outputs, pullback = jax.vjp(call, params, x, state)
    return outputs, pullback({name: jnp.asarray(d) for name, d in d_outputs.items()})
