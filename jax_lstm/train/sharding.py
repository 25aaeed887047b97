"""The compiled call of training over a mesh: how its program is divided, and where its arrays lie."""

from functools import partial
from typing import Any, NamedTuple

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_lstm.train.mesh import DATA, MODEL, rule
from jax_lstm.train.step import LossFn, TrainState

ALL = (DATA, MODEL)  # the rows of a batch lie over both axes


class Division(NamedTuple):
    """How a step is divided; what `step_of` takes under these names."""

    axis: Any = None
    over: Any = None


def division(mesh: Mesh | AbstractMesh | None) -> Division:
    """Over a mesh: where only rows are divided the step as a whole, which then takes the means; else its loss alone."""
    if mesh is None:
        return Division()
    return Division(DATA) if mesh.shape[MODEL] == 1 else Division(ALL, partial(gathered, mesh=mesh))


def gathered(loss_fn: LossFn, mesh: Mesh | AbstractMesh) -> LossFn:
    """The loss of all rows: each device brings the parameters together, and runs the kernels on its own rows.

    To divide the products instead takes exchanges at every time step, each of which waits for the one before. The
    gradient of `all_gather` is a reduction that leaves each device what it holds of the parameters. So they, their
    gradients and their moments are divided, as in ZeRO (https://arxiv.org/abs/1910.02054).
    """

    def loss_of_all(params: Any, rest: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        places = jax.tree_util.tree_map_with_path(partial(rule, sizes=dict(mesh.shape), front=0), params)

        def whole(leaf: jax.Array, place: P) -> jax.Array:
            return jax.lax.all_gather(leaf, MODEL, tiled=True) if place == P(MODEL) else leaf

        def own(params: Any, rest: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
            value, after = loss_fn(jax.tree.map(whole, params, places), rest, batch, carry)
            return jax.lax.pmean(value, ALL), after

        carry_at = P(None, ALL)
        into, out = (places, P(), P(ALL), carry_at), (P(), (P(), carry_at))
        return jax.shard_map(own, mesh=mesh, in_specs=into, out_specs=out, check_vma=False)(params, rest, batch, carry)

    return loss_of_all


def rows_at(front: int) -> P:
    """Where the rows of batches lie: (steps, B), behind `front` axes of members."""
    return P(*[None] * front, None, ALL)


def spread(every: Any, mesh: Mesh | AbstractMesh, state: TrainState, front: int) -> tuple[Any, TrainState]:
    """`every(state, arrays, rows, numbers)` compiled for a mesh, its state donated, and the place of each leaf of that.

    `state` may be one of shapes alone, and the mesh one without devices: then the program can be lowered, not run.
    `front` is the number of axes of members.
    """
    carry = rows_at(front)  # (L, B, H): the rows of the batch come second there too
    if mesh.shape[MODEL] == 1:
        # Every device runs all steps on its own rows; only gradients and losses cross between them.
        everywhere: Any = [P()] * len(TrainState._fields)
        at = TrainState(*everywhere)._replace(carry=carry)
        into, out = (at, P(), rows_at(front), P()), (at, P())
        mapped = jax.shard_map(every, mesh=mesh, in_specs=into, out_specs=out, check_vma=False)
        specs = [jax.tree.map(lambda _, spec=spec: spec, part) for spec, part in zip(at, state, strict=True)]
        return jax.jit(mapped, donate_argnums=0), TrainState(*specs)
    # XLA divides what is around the loss, the optimiser foremost, by where the arrays lie.
    where = partial(rule, sizes=dict(mesh.shape), front=front)
    specs = jax.tree.map(lambda _: P(), state)._replace(
        params=jax.tree_util.tree_map_with_path(where, state.params),
        opt_state=jax.tree_util.tree_map_with_path(where, state.opt_state),
        carry=jax.tree.map(lambda _: carry, state.carry),
    )
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    return jax.jit(every, donate_argnums=0, out_shardings=(shardings, NamedSharding(mesh, P()))), specs
