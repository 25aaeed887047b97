"""The loops of a program, without the operations over all steps around them.

libtpu takes minutes to estimate a large product, and what it costs is known: it runs near the peak of the matrix units.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

INLINED = ("jit", "pjit", "closed_call", "custom_jvp_call")


class Loops(NamedTuple):
    """`function(given, *arguments)`, the shapes of `given`, and the FLOPs of the matrix products that it leaves out."""

    function: Callable[..., Any]
    given: list[jax.ShapeDtypeStruct]
    flops: float


def loops_of(function: Callable[..., Any], leading: tuple[int, int], *shapes: Any) -> Loops:
    """`function` without the operations outside of loops that read or write arrays (T, B, ...), `leading` being (T, B).

    Their results are arguments instead. What happens to weights before a loop stays: it decides where XLA keeps them.
    """
    leaves, tree = jax.tree.flatten(shapes)
    traced = jax.make_jaxpr(lambda *leaves: function(*jax.tree.unflatten(tree, leaves)))(*leaves)
    given: list[jax.ShapeDtypeStruct] = []
    flops = [0.0]

    def note(equation: Any) -> list[jax.Array]:
        found = [jax.ShapeDtypeStruct(out.aval.shape, out.aval.dtype) for out in equation.outvars]
        given.extend(found)
        flops.append(_flops(equation))
        return [jnp.zeros(each.shape, each.dtype) for each in found]

    jax.eval_shape(lambda *leaves: _run(traced, leaves, leading, note)[0], *leaves)

    def run(given: list[Any], *arguments: Any) -> Any:
        remaining = iter(given)

        def take(equation: Any) -> list[jax.Array]:
            return [next(remaining) for _ in equation.outvars]

        return _run(traced, jax.tree.leaves(arguments), leading, take)

    return Loops(run, given, sum(flops))


def _run(
    program: ClosedJaxpr, arguments: Any, leading: tuple[int, int], instead: Callable[[Any], list[jax.Array]]
) -> tuple[list[Any], list[Any]]:
    """Evaluate a program; also return the results of its loops, which XLA drops if nothing reads them."""
    jaxpr = program.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *arguments], strict=True))
    kept: list[Any] = []
    for equation in jaxpr.eqns:
        name, operands = (
            equation.primitive.name,
            [atom.val if isinstance(atom, Literal) else values[atom] for atom in equation.invars],
        )
        if name == "platform_index":
            found = [
                next(at for at, these in enumerate(equation.params["platforms"]) if these is None or "tpu" in these)
            ]
        elif name in INLINED or (name == "cond" and isinstance(operands[0], int)):
            inner = equation.params["branches"][operands.pop(0)] if name == "cond" else _program(equation)
            found, more = _run(inner, operands, leading, instead)
            kept += more
        elif name != "scan" and any(
            len(atom.aval.shape) == 3 and atom.aval.shape[:2] == leading
            for atom in (*equation.invars, *equation.outvars)
        ):
            found = instead(equation)
        else:
            found = equation.primitive.bind(*operands, **equation.params)
            found = found if equation.primitive.multiple_results else [found]
            kept += found if name == "scan" else []
        values.update(zip(equation.outvars, found, strict=True))
    return [atom.val if isinstance(atom, Literal) else values[atom] for atom in jaxpr.outvars], kept


def _program(equation: Any) -> ClosedJaxpr:
    inner = next(value for value in equation.params.values() if isinstance(value, ClosedJaxpr | Jaxpr))
    return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, [])


def _flops(equation: Any) -> float:
    if equation.primitive.name != "dot_general":
        return 0.0
    (contracted, _), _ = equation.params["dimension_numbers"]
    depth = np.prod([equation.invars[0].aval.shape[axis] for axis in contracted])
    return 2.0 * float(np.prod(equation.outvars[0].aval.shape)) * float(depth)
