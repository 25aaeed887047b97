"""The `cudnn` kernel without a GPU: JAX's binding, with its own reference `lstm_ref` in place of cuDNN.

What is ours is tested so: the vector of weights and its gradient, lengths and what is guarded around them, layers and
directions, dropout between layers, precision, and what is refused. Held against PyTorch.
"""

import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental import rnn as binding
from jax.interpreters import mlir
from side_by_side import Case, assert_same, compare

import jax_lstm as jl
from jax_lstm.kernels import cudnn as kernel

torch: Any = pytest.importorskip("torch")
rnn: Any = binding


def reference(x: Any, h: Any, c: Any, weights: Any, lengths: Any, sizes: dict[str, Any]) -> Any:
    inputs, hidden, layers, both = (sizes[n] for n in ("input_size", "hidden_size", "num_layers", "bidirectional"))
    parts = rnn.unpack_lstm_weights(weights, inputs, hidden, layers, both)
    return rnn.lstm_ref(x, h, c, *parts, lengths, inputs, hidden, layers, 0.0, both)


def forward(x: Any, h: Any, c: Any, weights: Any, lengths: Any, **sizes: Any) -> Any:
    return (*reference(x, h, c, weights, lengths, sizes), jnp.zeros(1))


def backward(dy: Any, dh: Any, dc: Any, x: Any, h: Any, c: Any, weights: Any, y: Any, reserve: Any, lengths: Any,
             **sizes: Any) -> Any:  # fmt: skip
    run = functools.partial(reference, lengths=lengths, sizes=sizes)
    return jax.vjp(lambda x, h, c, w: run(x, h, c, w), x, h, c, weights)[1]((dy, dh, dc))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses the CPU no more."""
    monkeypatch.setattr(rnn, "gpu_rnn", SimpleNamespace(compute_rnn_workspace_reserve_space_sizes=lambda *_: (1, 1)))
    monkeypatch.setattr(kernel, "PLATFORM", "cpu")


@pytest.fixture
def on_cpu(served: None) -> Iterator[list[dict[str, Any]]]:
    """The binding's primitives lowered for the CPU; returns what was asked of them, call by call."""
    asked: list[dict[str, Any]] = []

    def noted(*arrays: Any, **sizes: Any) -> Any:
        asked.append({"batch": arrays[0].shape[0], **sizes})
        return forward(*arrays, **sizes)

    for primitive, function in ((rnn.rnn_fwd_p, noted), (rnn.rnn_bwd_p, backward)):
        mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=True), platform="cpu")
    jax.clear_caches()
    yield asked
    jax.clear_caches()


def both_of(layers: int, bidirectional: bool, bias: bool) -> tuple[Any, jl.LSTM]:
    reference = torch.nn.LSTM(3, 5, layers, bias, bidirectional=bidirectional)
    options: dict[str, Any] = {"bidirectional": bidirectional, "backend": "cudnn"}
    ours = nnx.eval_shape(lambda: jl.LSTM(3, 5, layers, bias, **options, rngs=nnx.Rngs(0)))
    jl.load_state_dict(ours, reference.state_dict())
    return reference, ours


def drawn(layers: int, bidirectional: bool, batch: int = 4, steps: int = 6) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    rows = layers * (1 + bidirectional)
    x = rng.standard_normal((steps, batch, 3)).astype(np.float32)
    return x, tuple(rng.standard_normal((rows, batch, 5)).astype(np.float32) for _ in "hc")


UNEQUAL = [6, 2, 6, 1]


@pytest.mark.parametrize(
    ("layers", "bidirectional", "bias", "lengths"),
    [
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (1, False, True, None),
                (1, True, False, UNEQUAL),
                (3, False, True, UNEQUAL),
                (2, True, False, None),
            )
        ),
        (2, True, True, UNEQUAL),
    ],
)
def test_outputs_states_and_gradients(layers: int, bidirectional: bool, bias: bool, lengths: Any, on_cpu: Any) -> None:
    reference, ours = both_of(layers, bidirectional, bias)
    graph, params = nnx.split(ours)
    x, state = drawn(layers, bidirectional)
    known = None if lengths is None else np.array(lengths, np.int32)
    (compared,) = compare([Case(reference, graph, params, x, state, known)])
    assert_same(compared, np.float32)
    assert {call["num_layers"] for call in on_cpu} == {layers}  # all in one call


@pytest.mark.slow
def test_rows_of_no_steps_hand_their_state_through(on_cpu: Any) -> None:
    _, ours = both_of(2, True, True)
    x, state = drawn(2, True)
    lengths = np.array([6, 0, 3, 0], np.int32)
    x[:, 1] = np.nan  # padding may hold anything
    x[3:, 2] = np.nan

    def loss(x: Any, state: Any, backend: str) -> Any:
        ys, last = jl.functional.lstm(ours.params, x, state, lengths=lengths, backend=backend)
        return jnp.sum(jnp.sin(ys)) + jnp.sum(last.h * last.h) + jnp.sum(jnp.cos(last.c)), (ys, last)

    function = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True), static_argnums=2)
    found, expected = (function(jnp.asarray(x), state, name) for name in ("cudnn", "scan"))
    for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[0][1][1].h[:, 1], state[0][:, 1])


@pytest.mark.slow
def test_its_own_dropout_is_not_taken(on_cpu: Any) -> None:
    """Outputs are dropped between calls of a layer each, with the masks of every other kernel."""
    x, _ = drawn(3, False)
    outputs = {}
    for backend in ("cudnn", "scan"):
        ours = jl.LSTM(3, 5, 3, dropout=0.5, backend=backend, rngs=nnx.Rngs(0, dropout=1))
        outputs[backend] = nnx.jit(lambda lstm, x: lstm(x)[0])(ours, x)
    np.testing.assert_allclose(outputs["cudnn"], outputs["scan"], rtol=1e-4, atol=1e-6)
    assert [call["num_layers"] for call in on_cpu] == [1, 1]  # the upper two are alike, and lowered once
    assert all(call["dropout"] == 0 for call in on_cpu)
    ours.backend = "cudnn"
    ours.eval()
    nnx.jit(lambda lstm, x: lstm(x)[0])(ours, x)
    assert on_cpu[-1]["num_layers"] == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "tf32"),
    [
        (None, True),
        ("highest", False),
        ("default", True),
        ("tensorfloat32", True),
        ("high", True),
        ("float32", False),
    ],
)
def test_precision_is_that_of_jax(asked: str | None, tf32: bool, on_cpu: Any) -> None:
    _, ours = both_of(1, False, True)
    with jax.default_matmul_precision(asked):
        jax.jit(lambda x: ours(x)[0]).lower(drawn(1, False)[0])
    assert [call["cudnn_allow_tf32"] for call in on_cpu] == [tf32]


@pytest.mark.slow
def test_under_jit_with_traced_lengths(on_cpu: Any) -> None:
    reference, ours = both_of(1, True, True)
    x, _ = drawn(1, True)
    found = jax.jit(lambda x, lengths: ours(x, lengths=lengths)[0])(x, jnp.array([9, 1, 4, -2]))
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x[:, :3]), [6, 1, 4], enforce_sorted=False)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(reference(packed)[0])
    np.testing.assert_allclose(found[:, :3], expected.detach(), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found[:, 3], 0)


@pytest.mark.slow
def test_unbatched_and_batch_first(on_cpu: Any) -> None:
    reference, ours = both_of(2, False, True)
    x, state = drawn(2, False, batch=1)
    expected, _ = reference(torch.tensor(x), tuple(map(torch.tensor, state)))
    ys, last = ours(x[:, 0], tuple(part[:, 0] for part in state))
    np.testing.assert_allclose(ys, expected[:, 0].detach(), rtol=1e-4, atol=1e-6)
    assert last.h.shape == (2, 5)
    ours.batch_first = True
    np.testing.assert_allclose(ours(x.swapaxes(0, 1), state)[0][0], ys, rtol=1e-5)


def abstract(**options: Any) -> jl.LSTM:
    return nnx.eval_shape(lambda: jl.LSTM(3, 5, **options, rngs=nnx.Rngs(0)))


X = jax.ShapeDtypeStruct((4, 2, 3), jnp.float32)
MASK, LENGTHS = jnp.ones((2, 4), bool), jnp.array([4, 3])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"mask": MASK}, "not mask"),
        ({"lengths": LENGTHS, "resets": MASK}, "not resets"),
        ({"mask": MASK, "resets": MASK}, "not mask and resets"),
    ],
)
def test_arguments_that_it_does_not_take(given: dict[str, Any], reason: str, served: None) -> None:
    lstm = abstract(backend="cudnn")
    with pytest.raises(jl.InputError, match=reason):
        jl.explain_backend(lstm, X, given=list(given))
    with pytest.raises(jl.InputError, match=reason):
        jax.eval_shape(lambda lstm, x: lstm(x, **given), lstm, X)
    assert jl.explain_backend(lstm, X, given=["lengths"]).backend == "cudnn"
    assert jl.explain_backend(abstract(), X).backend != "cudnn"  # it is never chosen


REFUSED = "`backend` 'cudnn' does not support this call: .*"


def test_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnn, "gpu_rnn", SimpleNamespace())  # as without JAX's CUDA plugin
    with pytest.raises(jl.InputError, match=REFUSED + "it runs on cuda; not on cpu"):
        jl.explain_backend(abstract(backend="cudnn"), X)
    with pytest.raises(jl.InputError, match=REFUSED + r"not on cpu \(to lower it for cuda here: pip install"):
        jax.eval_shape(lambda lstm, x: lstm(x), abstract(backend="cudnn"), X)
    assert str(jl.explain_backend(abstract(backend="cudnn"), X, platform="cuda")).startswith(
        "cudnn: named by `backend`; never run on such a device; it needs JAX's CUDA plugin there: pip install"
    )
    with pytest.raises(jl.InputError, match="`given` must be one of 'lengths', 'mask', 'resets'; got 'length'"):
        jl.explain_backend(abstract(), X, given=["length"])


def test_calls_that_it_does_not_serve(served: None) -> None:
    with pytest.raises(jl.InputError, match=REFUSED + "has no projection"):
        jl.explain_backend(abstract(proj_size=2, backend="cudnn"), X)
    with pytest.raises(jl.InputError, match=REFUSED + "computes in float32; not in bfloat16"):
        jl.explain_backend(abstract(dtype="bfloat16", backend="cudnn"), X)
    with pytest.raises(jl.InputError, match="cannot be used under vmap; take 'scan', or add a batch axis"):
        jax.eval_shape(
            lambda lstm, x: jax.vmap(lambda x: lstm(x)[0])(x),
            abstract(backend="cudnn"), jax.ShapeDtypeStruct((2, *X.shape), X.dtype),
        )  # fmt: skip
