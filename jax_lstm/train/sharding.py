"""The training step over a mesh: how the program is split, and the sharding of its arrays."""

from functools import partial
from typing import Any, NamedTuple

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_lstm.train.mesh import DATA, MODEL, param_spec
from jax_lstm.train.step import LossFn, TrainState

ALL = (DATA, MODEL)  # batch rows are split over both axes


class Division(NamedTuple):
    """The arguments of `step_of` that split a step over a mesh."""

    axis: Any = None
    shard_loss: Any = None


def division(mesh: Mesh | AbstractMesh | None) -> Division:
    """With `data` alone the whole step runs under `shard_map`; with `model`, only the loss does."""
    if mesh is None:
        return Division()
    return Division(DATA) if mesh.shape[MODEL] == 1 else Division(ALL, partial(with_gathered_params, mesh=mesh))


def with_gathered_params(loss_fn: LossFn, mesh: Mesh | AbstractMesh) -> LossFn:
    """The mean loss over all devices; each gathers the parameters and runs the kernels on its own rows.

    Splitting the matrix products instead would need a collective in every time step. The gradient of `all_gather` is a
    reduce-scatter, so parameters, gradients and moments stay sharded, as in ZeRO (https://arxiv.org/abs/1910.02054).
    """

    def mean_loss(params: Any, rest: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
        specs = jax.tree_util.tree_map_with_path(partial(param_spec, sizes=dict(mesh.shape), front=0), params)

        def gathered(leaf: jax.Array, spec: P) -> jax.Array:
            return jax.lax.all_gather(leaf, MODEL, tiled=True) if spec == P(MODEL) else leaf

        def local(params: Any, rest: Any, batch: Any, carry: Any) -> tuple[jax.Array, Any]:
            value, after = loss_fn(jax.tree.map(gathered, params, specs), rest, batch, carry)
            return jax.lax.pmean(value, ALL), after

        carry_spec = P(None, ALL)
        in_specs, out_specs = (specs, P(), P(ALL), carry_spec), (P(), (P(), carry_spec))
        mapped = jax.shard_map(local, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
        return mapped(params, rest, batch, carry)

    return mean_loss


def row_spec(front: int) -> P:
    """The sharding of batches (steps, B) after `front` member axes: split by rows."""
    return P(*[None] * front, None, ALL)


def shard_step(run: Any, mesh: Mesh | AbstractMesh, state: TrainState, front: int) -> tuple[Any, TrainState]:
    """Compile `run(state, arrays, rows, numbers)` for a mesh, its state donated; also the sharding of each state leaf.

    `state` may hold shapes alone, and `mesh` may have no devices; the program can then be lowered, not run. `front` is
    the number of member axes.
    """
    carry = row_spec(front)  # (L, B, H): the batch is the second axis here too
    if mesh.shape[MODEL] == 1:
        # Every device runs all steps on its own rows; only gradients and losses are exchanged.
        replicated: Any = [P()] * len(TrainState._fields)
        at = TrainState(*replicated)._replace(carry=carry)
        in_specs, out_specs = (at, P(), row_spec(front), P()), (at, P())
        mapped = jax.shard_map(run, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
        specs = [jax.tree.map(lambda _, spec=spec: spec, part) for spec, part in zip(at, state, strict=True)]
        return jax.jit(mapped, donate_argnums=0), TrainState(*specs)
    # Around the loss, XLA splits the work, above all the optimiser, by the shardings of the arrays.
    spec_of = partial(param_spec, sizes=dict(mesh.shape), front=front)
    specs = jax.tree.map(lambda _: P(), state)._replace(
        params=jax.tree_util.tree_map_with_path(spec_of, state.params),
        opt_state=jax.tree_util.tree_map_with_path(spec_of, state.opt_state),
        carry=jax.tree.map(lambda _: carry, state.carry),
    )
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    return jax.jit(run, donate_argnums=0, out_shardings=(shardings, NamedSharding(mesh, P()))), specs
