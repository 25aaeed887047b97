"""Every model is lowered for GPU and TPU on a machine that has neither, forward and backward."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import export
from jax.sharding import AbstractMesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jax_lstm as jl
from jax_lstm.kernels.fused import gpu

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
    "less kept": Model(lstm(backend=jl.kernels.Scan(remat="gates")), X | LENGTHS),
    "sqrt(T) kept": Model(lstm(backend=jl.kernels.Scan(remat="chunks")), X),
    "reference": Model(lstm(backend="reference"), X),
    "peepholes, layer norm": Model(lstm(variant=jl.Variant(layer_norm=True, peepholes=True)), X),
    "random variant": Model(lstm(variant=jl.Variant(0.2, 0.1, 0.1, 0.3)), X),
    "LSTMModel": Model(lambda dtype: jl.LSTMModel(3, 5, 2, 2, dtype=dtype, rngs=nnx.Rngs(0)), X | LENGTHS),
    "LanguageModel": Model(
        lambda dtype: jl.LanguageModel(7, 5, 2, tied=True, dropout=0.1, dtype=dtype, rngs=nnx.Rngs(0)),
        {"tokens": jax.ShapeDtypeStruct((BATCH, STEPS), jnp.int32)},
    ),
}  # fmt: skip


FEW = ("two layers, both directions, lengths", "projection, mask and resets", "random variant", "LanguageModel")


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


@pytest.mark.parametrize("dtype", [None, pytest.param("bfloat16", marks=pytest.mark.slow)], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FEW else [pytest.mark.slow]) for name in MODELS]
)
def test_forward_and_backward(name: str, dtype: str | None) -> None:
    model = MODELS[name]
    function, params = value_and_gradients(model.build(dtype), model.inputs)
    exported = export.export(jax.jit(function), platforms=ELSEWHERE)(params, model.inputs)
    assert exported.platforms == ELSEWHERE
    assert "jax_lstm_" not in exported.mlir_module()
    assert ("bf16" in exported.mlir_module()) is (dtype == "bfloat16")


@pytest.mark.parametrize("backend", ["auto", "scan", pytest.param("reference", marks=pytest.mark.slow)])
@pytest.mark.parametrize("check_vma", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [None, pytest.param("bfloat16", marks=pytest.mark.slow)], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "build",
    [
        lambda **options: jl.LSTM(3, 5, 2, batch_first=True, bidirectional=True, rngs=nnx.Rngs(0), **options),
        lambda **options: jl.LSTMModel(3, 5, 2, 2, rngs=nnx.Rngs(0), **options),
    ],
    ids=["LSTM", "LSTMModel"],
)
def test_a_step_over_eight_devices(build: Any, dtype: str | None, backend: str, check_vma: bool) -> None:
    """`shard_map` over rows, gradients averaged, for devices that are only described."""
    mesh = AbstractMesh((BATCH,), ("data",))
    function, params = value_and_gradients(build(dtype=dtype, backend=backend), X | LENGTHS)

    def step(params: Any, inputs: Any) -> Any:
        return jax.tree.map(lambda leaf: jax.lax.pmean(leaf, "data"), function(params, inputs))

    def placed(tree: Any, spec: P) -> Any:
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=NamedSharding(mesh, spec)), tree)

    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P("data")), out_specs=P(), check_vma=check_vma)
    arguments = (placed(params, P()), placed(X | LENGTHS, P("data")))
    exported = export.export(jax.jit(mapped), platforms=ELSEWHERE)(*arguments)
    assert exported.nr_devices == BATCH
    assert exported.mlir_module().count("stablehlo.all_reduce") >= len(jax.tree.leaves(params))


def projects_in_loop(text: str) -> list[bool]:
    """Of each loop of a program, whether a step multiplies the input, (32, 200)."""
    functions = re.split(r"^  func\.func \w+ @", text, flags=re.MULTILINE)[1:]
    bodies = {re.split(r"\W", body)[0]: body for body in functions}
    loops = [found[1] for found in re.findall(r"^( *)\} do \{\n(.*?)^\1\}", text, re.DOTALL | re.MULTILINE)]
    steps = [loop + "".join(bodies[name] for name in re.findall(r"call @(\w+)\(", loop)) for loop in loops]
    return [re.search(r"dot_general.*tensor<32x200xf32>", step) is not None for step in steps]


@pytest.mark.parametrize("backend", ["auto", "scan", pytest.param("plain", marks=pytest.mark.slow)])
def test_one_export_holds_the_form_of_each_platform(backend: str) -> None:
    """On a CPU the input is projected in the loop, elsewhere before it; no export holds the call of the C++ library."""
    lstm = jl.LSTM(200, 100, backend=backend, rngs=nnx.Rngs(0))  # large enough for two products a step on a CPU
    x = jax.ShapeDtypeStruct((7, 32, 200), jnp.float32)
    forward = jax.jit(lambda x: lstm(x)[0])
    alone = {name: export.export(forward, platforms=(name,))(x).mlir_module() for name in ("cpu", *ELSEWHERE)}
    assert {name: projects_in_loop(text) for name, text in alone.items()} == {
        "cpu": [True], "cuda": [False], "tpu": [False]
    }  # fmt: skip
    together = export.export(forward, platforms=("cpu", *ELSEWHERE))(x)
    assert set(projects_in_loop(together.mlir_module())) == {False, True}
    assert "jax_lstm_" not in together.mlir_module()
    arrays = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    np.testing.assert_allclose(together.call(arrays), forward(arrays), rtol=1e-5, atol=1e-6)


def test_a_refusal_is_raised_when_it_is_lowered() -> None:
    """A program with a named kernel can be traced anywhere, and lowered where that kernel serves."""
    lstm = jl.LSTM(3, 5, backend="native", rngs=nnx.Rngs(0))
    traced = jax.jit(jax.grad(lambda x: lstm(x)[0].sum())).trace(jnp.zeros((4, 2, 3)))
    assert "jax_lstm_backward" in traced.lower().as_text()
    for platforms in (("tpu",), ("cuda",), ("cpu", "tpu")):
        with pytest.raises(jl.InputError, match=f"'native' does not support this call: .* not on {platforms[-1]}"):
            traced.lower(lowering_platforms=platforms)
    assert jl.explain_backend(lstm, jnp.zeros((4, 2, 3)), platform="cpu").backend == "native"
    with pytest.raises(jl.InputError, match="it runs on cpu; not on tpu"):
        jl.explain_backend(lstm, jnp.zeros((4, 2, 3)), platform="tpu")


def test_auto_is_explained_for_a_platform_that_is_not_here() -> None:
    lstm, x = jl.LSTM(3, 5, rngs=nnx.Rngs(0)), jax.ShapeDtypeStruct((4, 2, 3), jnp.float32)
    pallas = {
        "cuda": "not yet shown to be faster on cuda; pass backend=jax_lstm.kernels.Fused('pallas') to try it",
        "rocm": "it runs on tpu and cuda; not on rocm",
        "tpu": "not yet shown to be faster on tpu; pass backend=jax_lstm.kernels.Fused('pallas') to try it",
    }
    if jax.__version_info__ < gpu.NEEDS:
        pallas["cuda"] = f"it needs JAX 0.12 or later; this is {jax.__version__}"
    for platform, reason in pallas.items():
        choice = jl.explain_backend(lstm, x, platform=platform)
        expected = {"native": f"it runs on cpu; not on {platform}", "pallas": reason}
        assert (choice.backend, choice.refused) == ("plain", expected)
    assert jl.explain_backend(lstm, x, platform="gpu") == jl.explain_backend(lstm, x, platform="cuda")
    with pytest.raises(jl.InputError, match="`platform` must be one of None, 'cpu', 'cuda', 'rocm', 'tpu'; got 'ipu'"):
        jl.explain_backend(lstm, x, platform="ipu")


def test_a_symbolic_time_is_neither_unrolled_nor_cut() -> None:
    steps = export.symbolic_shape("T")[0]
    x = jax.ShapeDtypeStruct((steps, 2, 3), jnp.float32)
    for kernel in (jl.kernels.Scan(unroll=3), jl.kernels.Scan(remat="chunks")):
        lstm = jl.LSTM(3, 5, backend=kernel, rngs=nnx.Rngs(0))
        exported = export.export(jax.jit(lambda x, lstm=lstm: lstm(x)[0]), platforms=("cpu",))(x)
        arrays = np.ones((5, 2, 3), np.float32)
        np.testing.assert_allclose(exported.call(arrays), lstm(arrays)[0], rtol=1e-5, atol=1e-6)


def test_why_no_platform_can_serve() -> None:
    lstm = jl.LSTM(3, 5, backend="cudnn", dtype="float16", rngs=nnx.Rngs(0))
    with pytest.raises(jl.InputError, match=r"not on cpu; on cuda, .* computes in float32; not in float16"):
        lstm(jnp.zeros((4, 2, 3)))
