"""Every model is lowered for GPU and TPU on a machine that has neither, forward and backward."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax import export
from jax.sharding import AbstractMesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_lstm as jl

ELSEWHERE = ("cuda", "tpu")
STEPS, BATCH = 4, 8


class Model(NamedTuple):
    """How it is made, and what it is called with; rows first."""

    build: Any
    inputs: dict[str, Any]
    options: tuple[str, ...] = ()


X = {"x": jax.ShapeDtypeStruct((BATCH, STEPS, 3), jnp.float32)}
LENGTHS = {"lengths": jax.ShapeDtypeStruct((BATCH,), jnp.int32)}
STATES = {name: jax.ShapeDtypeStruct((BATCH, STEPS), jnp.bool_) for name in ("mask", "resets")}


def lstm(*args: Any, **options: Any) -> Any:
    return lambda dtype: jl.LSTM(3, 5, *args, batch_first=True, dtype=dtype, rngs=nnx.Rngs(0), **options)


MODELS = {
    "one layer": Model(lstm(), X),
    "two layers, both directions, lengths": Model(lstm(2, bidirectional=True), X | LENGTHS),
    "projection, mask and resets": Model(lstm(2, proj_size=2, bias=False), X | STATES),
    "dropout in training": Model(lstm(2, dropout=0.3), X),
    "less kept": Model(lstm(remat="gates"), X | LENGTHS),
    "sqrt(T) kept": Model(lstm(remat="chunks"), X),
    "reference": Model(lstm(backend="reference"), X),
    "peepholes, layer norm": Model(lstm(variant=jl.Variant(layer_norm=True, peepholes=True)), X),
    "random variant": Model(lstm(variant=jl.Variant(0.2, 0.1, 0.1, 0.3)), X),
    "LSTMModel": Model(lambda dtype: jl.LSTMModel(3, 5, 2, 2, dtype=dtype, rngs=nnx.Rngs(0)), X | LENGTHS),
    "LanguageModel": Model(
        lambda dtype: jl.LanguageModel(7, 5, 2, tied=True, dropout=0.1, dtype=dtype, rngs=nnx.Rngs(0)),
        {"tokens": jax.ShapeDtypeStruct((BATCH, STEPS), jnp.int32)},
    ),
}  # fmt: skip


def value_and_gradients(model: Any, inputs: dict[str, Any]) -> tuple[Any, Any]:
    """A function of the parameters and the inputs, and shapes of the former."""
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    first = next(iter(inputs))

    def value(params: Any, inputs: dict[str, Any]) -> jax.Array:
        found = nnx.merge(graph, params, rest, copy=True)(
            inputs[first], **{name: value for name, value in inputs.items() if name != first}
        )
        return sum(jnp.square(leaf.astype(jnp.float32)).mean() for leaf in jax.tree.leaves(found))  # type: ignore[return-value]

    return jax.value_and_grad(value), jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), params)


@pytest.mark.parametrize("dtype", [None, "bfloat16"], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_forward_and_backward(name: str, dtype: str | None) -> None:
    model = MODELS[name]
    function, params = value_and_gradients(model.build(dtype), model.inputs)
    exported = export.export(jax.jit(function), platforms=ELSEWHERE)(params, model.inputs)
    assert exported.platforms == ELSEWHERE
    assert "jax_lstm_" not in exported.mlir_module()
    assert ("bf16" in exported.mlir_module()) is (dtype == "bfloat16")


@pytest.mark.parametrize("dtype", [None, "bfloat16"], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "build",
    [
        lambda dtype: jl.LSTM(
            3, 5, 2, batch_first=True, bidirectional=True, dtype=dtype, backend="scan", rngs=nnx.Rngs(0)
        ),
        lambda dtype: jl.LSTMModel(3, 5, 2, 2, dtype=dtype, backend="scan", rngs=nnx.Rngs(0)),
    ],
    ids=["LSTM", "LSTMModel"],
)
def test_a_step_over_eight_devices(build: Any, dtype: str | None) -> None:
    """`shard_map` over rows, gradients averaged, for devices that are described only.

    On `scan`, which "auto" takes on such a device; here it would take `native`, whose call XLA divides itself, and for
    that it wants to see the devices.
    """
    mesh = AbstractMesh((BATCH,), ("data",))
    function, params = value_and_gradients(build(dtype), X | LENGTHS)

    def step(params: Any, inputs: Any) -> Any:
        return jax.tree.map(lambda leaf: jax.lax.pmean(leaf, "data"), function(params, inputs))

    def placed(tree: Any, spec: P) -> Any:
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=NamedSharding(mesh, spec)), tree)

    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P("data")), out_specs=P(), check_vma=False)
    arguments = (placed(params, P()), placed(X | LENGTHS, P("data")))
    exported = export.export(jax.jit(mapped), platforms=ELSEWHERE)(*arguments)
    assert exported.nr_devices == BATCH
    assert exported.mlir_module().count("stablehlo.all_reduce") >= len(jax.tree.leaves(params))
