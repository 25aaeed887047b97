"""Our modules beside PyTorch's: outputs, last states and the gradients of every input and parameter.

Compiling is what takes the time, and many small modules compile several times faster in one program than in one each.
So the tests collect their cases, `compare` runs them all at once, and each test then looks at its own.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agree import assert_agree
from flax import nnx

torch: Any = pytest.importorskip("torch")

Arrays = dict[str, Any]


class Case(NamedTuple):
    """A call of `torch.nn.LSTM` or `LSTMCell` and of our module with the same weights, split by `nnx.split`."""

    reference: Any
    graph: Any
    params: nnx.State
    x: Any
    state: Any = None
    lengths: Any = None
    seed: int = 0  # of the cotangents


class Compared(NamedTuple):
    """Our arrays and PyTorch's, by name."""

    outputs: Arrays
    gradients: Arrays
    expected_outputs: Arrays
    expected_gradients: Arrays


def with_weights_of(reference: Any, module: type[nnx.Module], *arguments: Any, **options: Any) -> tuple[Any, nnx.State]:
    """Our module with PyTorch's weights, split; `arguments` and `options` construct it."""
    graph, abstract = skeleton(module, arguments, tuple(options.items()))
    weights = {name: weight.detach().numpy() for name, weight in reference.named_parameters()}
    names = [str(path[0]) for path, _ in nnx.to_flat_state(abstract)]
    assert sorted(names) == sorted(weights)
    return graph, jax.tree.unflatten(jax.tree.structure(abstract), [weights[name] for name in names])


@functools.cache
def skeleton(module: Any, arguments: tuple[Any, ...], options: tuple[tuple[str, Any], ...]) -> tuple[Any, nnx.State]:
    """Our module without weights, so that none are drawn."""
    graph, abstract = nnx.split(nnx.eval_shape(lambda: module(*arguments, **dict(options), rngs=nnx.Rngs(0))))
    return graph, abstract


def compare(cases: Sequence[Case]) -> list[Compared]:
    """Run all cases, ours in one program; a second call with equal shapes compiles nothing."""
    references = [by_torch_with_gradients(case) for case in cases]
    arguments = [
        (case.params, case.x, case.state, case.lengths, d_outputs)
        for case, (_, _, d_outputs) in zip(cases, references, strict=True)
    ]
    results = by_ours(tuple(case.graph for case in cases), arguments)
    return [
        Compared(outputs, gradients, expected, expected_gradients)
        for (outputs, gradients), (expected, expected_gradients, _) in zip(results, references, strict=True)
    ]


def assert_same(compared: Compared, dtype: Any) -> None:
    """Every output and every gradient is there and agrees with PyTorch's."""
    assert compared.outputs.keys() == compared.expected_outputs.keys()
    assert compared.gradients.keys() == compared.expected_gradients.keys()
    for name, expected in compared.expected_outputs.items():
        assert_agree("outputs", compared.outputs[name], expected, dtype, name)
    for name, expected in compared.expected_gradients.items():
        assert_agree("gradients", compared.gradients[name], expected, dtype, f"gradient of {name}")


def by_torch_with_gradients(case: Case) -> tuple[Arrays, Arrays, Arrays]:
    """Outputs, gradients, and the cotangents, which are drawn so that no two outputs weigh the same."""
    ins = {"x": torch.tensor(case.x, requires_grad=True)}
    if case.state is not None:
        parts = zip(("h_0", "c_0"), case.state, strict=True)
        ins |= {name: torch.tensor(part, requires_grad=True) for name, part in parts}
    outputs = by_torch(case.reference, *ins.values(), lengths=case.lengths)
    rng = np.random.default_rng(case.seed)
    d_outputs = {name: rng.standard_normal(tuple(out.shape)).astype(case.x.dtype) for name, out in outputs.items()}
    case.reference.zero_grad()
    torch.autograd.backward([*outputs.values()], [torch.tensor(d) for d in d_outputs.values()])
    leaves = ins | dict(case.reference.named_parameters())
    gradients = {name: leaf.grad.numpy() for name, leaf in leaves.items()}
    return {name: output.detach().numpy() for name, output in outputs.items()}, gradients, d_outputs


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


@functools.partial(jax.jit, static_argnums=0)
def by_ours(graphs: tuple[Any, ...], arguments: list[tuple[Any, ...]]) -> list[tuple[Arrays, Arrays]]:
    """Outputs and gradients of each module."""
    return [with_gradients(graph, *each) for graph, each in zip(graphs, arguments, strict=True)]


def with_gradients(graph: Any, params: nnx.State, x: Any, state: Any, lengths: Any, d_outputs: Arrays) -> Any:
    def call(params: nnx.State, x: jax.Array, state: Any) -> Arrays:
        module = nnx.merge(graph, params)
        if isinstance(module, nnx.RNNCellBase):
            (h, c), _ = module(state, x)
            return {"h": h, "c": c}
        ys, (h, c) = module(x, state, lengths=lengths)
        return {"ys": ys, "h": h, "c": c}

    outputs, pullback = jax.vjp(call, params, x, state)
    d_params, d_x, d_state = pullback({name: jnp.asarray(d) for name, d in d_outputs.items()})
    gradients = {"x": d_x} | {str(path[0]): param[...] for path, param in nnx.to_flat_state(d_params)}
    if d_state is not None:
        gradients |= {"h_0": d_state[0], "c_0": d_state[1]}
    return outputs, gradients
