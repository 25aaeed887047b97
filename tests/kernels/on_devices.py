"""Run by test_native_processes.py in a process with several devices: sharded calls against the call on one device."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from kernels.cases import Case, draw, native

import jax_lstm as jl
from jax_lstm.tolerances import difference

P = PartitionSpec
COUNT = jax.device_count()
CASE = draw(Case(5, 2 * COUNT, 3, 6, 4, mask=True, resets=True), "float32")
MASK, RESETS = CASE.options.values()
SPECS = (P(), P(None, "data"), P("data"), P(None, "data"), P(None, "data"))


def value(params: Any, xs: Any, state: Any, mask: Any, resets: Any) -> jax.Array:
    ys, last = native(params, xs, state, mask=mask, resets=resets)
    return jnp.sum(jnp.sin(ys)) + jnp.sum(last.h * last.h) + jnp.sum(last.c)


step = jax.value_and_grad(value, argnums=(0, 1, 2))
ARGS = (*CASE[:3], MASK, RESETS)
EXPECTED = jax.tree.map(np.asarray, jax.jit(step)(*ARGS))


def check(name: str, found: Any, expected: Any = EXPECTED) -> None:
    worst = max(
        difference(a, b).relative for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    )
    assert worst < 1e-5, f"{name}: {worst}"


def check_collectives(name: str, compiled: Any, *wanted: str) -> None:
    """The program moves no data between devices but by `wanted`, and runs the library."""
    text = compiled.as_text()
    assert "jax_lstm_backward" in text
    for word in ("all-gather", "all-to-all", "collective-permute", "all-reduce"):
        assert (word in text) == (word in wanted), f"{name}: {word}"


def check_mesh(kind: Any) -> None:
    mesh = jax.make_mesh((COUNT,), ("data",), axis_types=(kind,))
    args = [jax.device_put(array, NamedSharding(mesh, spec)) for array, spec in zip(ARGS, SPECS, strict=True)]
    compiled = jax.jit(step).lower(*args).compile()
    check_collectives(f"jit {kind}", compiled, "all-reduce")
    found = compiled(*args)
    check(f"jit {kind}", found)
    assert found[1][1].sharding.is_equivalent_to(args[1].sharding, 3)  # the gradient of xs stays where xs is

    for check_vma in (True, False):

        def total(*args: Any) -> jax.Array:
            return jax.lax.psum(value(*args), "data")

        def inside(*args: Any, check_vma: bool = check_vma) -> Any:
            result, (params, *rest) = step(*args)
            if not check_vma:  # else JAX sums what all devices share
                params = jax.lax.psum(params, "data")
            return jax.lax.psum(result, "data"), (params, *rest)

        mapped = jax.shard_map(total, mesh=mesh, in_specs=SPECS, out_specs=P(), check_vma=check_vma)
        check(
            f"gradient of shard_map {kind} {check_vma}", jax.jit(jax.value_and_grad(mapped, argnums=(0, 1, 2)))(*args)
        )
        specs = (P(), SPECS[:3])
        mapped = jax.shard_map(inside, mesh=mesh, in_specs=SPECS, out_specs=specs, check_vma=check_vma)
        check(f"gradient in shard_map {kind} {check_vma}", jax.jit(mapped)(*args))


def check_ensemble() -> None:
    """Members split over devices: nothing moves at all."""
    mesh = jax.make_mesh((COUNT,), ("data",), axis_types=(AxisType.Auto,))
    params = jax.tree.map(lambda array: np.stack([array] * COUNT), CASE.params)
    over = jax.jit(jax.vmap(lambda params: step(params, *ARGS[1:])[1][0]))
    compiled = over.lower(jax.device_put(params, NamedSharding(mesh, P("data")))).compile()
    check_collectives("ensemble", compiled)
    found = compiled(jax.device_put(params, NamedSharding(mesh, P("data"))))
    check("ensemble", jax.tree.map(lambda array: array[-1], found), EXPECTED[1][0])


def check_rows_that_do_not_divide() -> None:
    """One row fewer than fits: nothing that pads the last device may enter the gradients of the weights."""
    mesh = jax.make_mesh((COUNT,), ("data",), axis_types=(AxisType.Auto,))
    args = [jax.device_put(array, NamedSharding(mesh, spec)) for array, spec in zip(ARGS, SPECS, strict=True)]

    def fewer(params: Any, xs: Any, state: Any, mask: Any, resets: Any) -> Any:
        return step(params, xs[:, 1:], jax.tree.map(lambda array: array[1:], state), mask[:, 1:], resets[:, 1:])

    check("uneven rows", jax.jit(fewer)(*args), jax.jit(fewer)(*ARGS))


def check_in_mesh_and_exported() -> None:
    """With a mesh of explicit axes set, and exported from sharded arguments."""
    mesh = jax.make_mesh((COUNT,), ("data",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        args = [jax.device_put(array, spec) for array, spec in zip(ARGS, SPECS, strict=True)]
        check("mesh set", jax.jit(step)(*args))
    exported = jax.export.export(jax.jit(step))(*args)
    assert "jax_lstm_" not in exported.mlir_module()
    check("exported", jax.jit(exported.call)(*args))


def check_two_axes() -> None:
    """Rows over one axis of a mesh that has two, weights cut over the other; and one axis in `shard_map` alone."""
    mesh = jax.make_mesh((2, COUNT // 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    args = [jax.device_put(array, NamedSharding(mesh, spec)) for array, spec in zip(ARGS, SPECS, strict=True)]
    params = CASE.params._replace(weight_ih=jax.device_put(CASE.params.weight_ih, NamedSharding(mesh, P("model"))))
    check("weights cut", jax.jit(step)(params, *args[1:]))
    mapped = jax.shard_map(
        lambda *args: jax.lax.psum(value(*args), "data"), mesh=mesh, in_specs=SPECS, out_specs=P(), axis_names={"data"}
    )
    check("one axis of two", jax.jit(jax.value_and_grad(mapped, argnums=(0, 1, 2)))(*ARGS))


def check_modules(kind: Any, names: tuple[str, ...], **sizes: Any) -> None:
    """Kernels on a whole LSTM whose state begins at zero: the state takes the sharding of its input."""
    mesh = jax.make_mesh((COUNT,), ("data",), axis_types=(kind,))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((5, 2 * COUNT, 3)), jnp.float32)
    options: dict[str, dict[str, Any]] = {
        n: {"variant": jl.Variant(peepholes=True)} if n == "variant" else {"backend": n} for n in names
    }
    params = {n: jl.LSTM(3, 4, **sizes, **given, rngs=nnx.Rngs(0)).params for n, given in options.items()}

    def totals(params: Any, x: Any) -> Any:
        return {n: jnp.sum(jnp.sin(jl.functional.lstm(params[n], x, **given)[0])) for n, given in options.items()}

    def gradients(params: Any, x: Any, totals: Any = totals) -> Any:
        return jax.grad(lambda params: sum(totals(params, x).values()))(params), totals(params, x)

    expected = jax.jit(gradients)(params, x)
    sharded = jax.device_put(x, NamedSharding(mesh, P(None, "data")))
    replicated = jax.device_put(params, NamedSharding(mesh, P()))
    over = jax.shard_map(
        lambda params, x: jax.lax.psum(totals(params, x), "data"),
        mesh=mesh, in_specs=(P(), P(None, "data")), out_specs=P(),
    )  # fmt: skip
    check(f"shard_map {kind}", jax.jit(lambda params, x: gradients(params, x, over))(replicated, sharded), expected)
    check(f"jit {kind}", jax.jit(gradients)(replicated, sharded), expected)


if __name__ == "__main__":
    if sys.argv[1] == "kernel":
        check_mesh(AxisType.Auto)
        check_ensemble()
        if COUNT > 2:
            check_two_axes()
        else:
            check_rows_that_do_not_divide()
            check_in_mesh_and_exported()
            check_modules(AxisType.Explicit, ("auto", "scan"), num_layers=2)  # small enough for one call
    else:
        check_mesh(AxisType.Explicit)
        for kind in (AxisType.Auto, AxisType.Explicit):
            check_modules(kind, ("auto", "scan", "reference", "variant"), num_layers=2, bidirectional=True)
    print("agrees")
