"""Ensembles and sweeps: many models trained by one compiled program."""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.training.dynamic_scale import DynamicScale
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jax_lstm.checks import InputError, require
from jax_lstm.train.config import OptimConfig, TrainConfig, number
from jax_lstm.train.mesh import place
from jax_lstm.train.optimizer import arguments, make_optimizer
from jax_lstm.train.sharding import division, row_spec, shard_step
from jax_lstm.train.step import RunSteps, TrainState, init_state, scan_steps, step_of
from jax_lstm.train.task import Task, loss_of

SWEPT = ("learning_rate", "final_rate", "clip_norm")  # and the numbers that --optimizer-args gives
SHAPES = ("hidden_size", "num_layers", "proj_size", "embedding_size", "dropout", "batch_size")  # need their own program
Chosen = tuple[tuple[str, float], ...]  # names and values of options


def members(config: TrainConfig) -> dict[str, TrainConfig]:
    """The runs of `--seeds` and `--sweep` in all combinations, by name; without them `config` alone, named "".

    Raises:
        InputError: a seed or a value is not a number, or an option cannot be swept.
    """
    base = replace(config, seeds="", sweep=())
    runs = {_name(chosen): _with(base, chosen) for chosen in _combinations(config)}
    if len({run.optim.clip_norm > 0 for run in runs.values()}) > 1:
        raise InputError("`--sweep` clip_norm must be above 0 in every run, or in none")
    return runs


def groups(config: TrainConfig) -> dict[str, TrainConfig]:
    """The configs, by name, whose members share one program; named "" if there is only one.

    Each has its own values of `SHAPES` and sweeps over these alone, so that its members keep their names.
    """
    shapes = dict.fromkeys(tuple(one for one in chosen if one[0] in SHAPES) for chosen in _combinations(config))

    def of(shape: Chosen) -> TrainConfig:
        single = {name: f"{name}={value}" for name, value in shape}
        return replace(_with(config, shape), sweep=tuple(single.get(_swept(text)[0], text) for text in config.sweep))

    return {_name(shape) if len(shapes) > 1 else "": of(shape) for shape in shapes}


def _combinations(config: TrainConfig) -> list[Chosen]:
    choices: list[list[tuple[str, float]]] = []
    if config.seeds:
        choices.append([("seed", seed) for seed in seeds(config.seeds)])
    for text in config.sweep:
        name, numbers = _swept(text)
        require(name != "seed", "--sweep", "leave the seed to --seeds", text)
        require(len(set(numbers)) == len(numbers), "--sweep", "give each value once", text)
        choices.append([(name, number) for number in numbers])
    names = [options[0][0] for options in choices]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"`--sweep` must name each option once; got {name} twice")
    return list(itertools.product(*choices))


def _swept(text: str) -> tuple[str, list[float]]:
    """The option and the values in `"learning-rate=1e-3,3e-3"`."""
    name, _, values = text.partition("=")
    numbers = [number(value) for value in values.split(",")]
    named = all(isinstance(one, int | float) for one in numbers)
    form = "be OPTION=NUMBER,NUMBER..., as learning_rate=1e-3,3e-3"
    require(named, "--sweep", form, repr(text))
    return name.removeprefix("--").replace("-", "_"), numbers  # type: ignore[return-value]


def _name(chosen: Chosen) -> str:
    return ", ".join(f"{name} {repr(value).removesuffix('.0')}" for name, value in chosen)


def seeds(text: str) -> list[int]:
    """The seeds in `"0:8"`, 0 to 7, or in `"3,5,9"`."""
    found = re.fullmatch(r"(\d+):(\d+)", text.strip())
    try:
        chosen = list(range(int(found[1]), int(found[2]))) if found else [int(part) for part in text.split(",")]
    except ValueError:
        chosen = []
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise InputError(f"`--seeds` must be FIRST:END or numbers, as 0:8 or 3,5,9, each once; got {text!r}")
    return chosen


class Runner(NamedTuple):
    """The initial state, and the compiled call that trains all members for some steps.

    With several members every leaf of `state` and of the metrics has a leading member axis.
    """

    state: TrainState
    run_steps: RunSteps
    arrays: Any
    initial_carry: Callable[[], Any]  # for the first step of an epoch
    place: Callable[[TrainState], TrainState]  # put a state of this host on the devices


def make_runner(task: Task, runs: Sequence[TrainConfig], total_steps: int, mesh: Mesh | None = None) -> Runner:
    """The runner for one member or several, which share the arrays of the task."""
    first, *others = [task.build(run) for run in runs]
    shapes = nnx.state(first, nnx.Param)
    optimizers = [make_optimizer(run.optim, total_steps, shapes) for run in runs]
    carry, scale = task.carry(first), initial_scale(runs[0])
    states = [
        init_state(model, optimizer, carry, scale)
        for model, optimizer in zip([first, *others], optimizers, strict=True)
    ]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states) if others else states[0]
    # Numbers that differ between members are arguments, so that one program serves all.
    numbers = {
        name: jnp.asarray([_numbers(run.optim)[name] for run in runs], runs[0].dtype)
        for name in _numbers(runs[0].optim)
        if len({_numbers(run.optim)[name] for run in runs}) > 1
    }
    first.train()
    graph = nnx.graphdef(first)
    divided = division(mesh)

    def run_member(state: TrainState, arrays: Any, rows: jax.Array, own: dict[str, jax.Array]) -> Any:
        optimizer = make_optimizer(runs[0].optim, total_steps, shapes, own)
        return scan_steps(step_of(graph, optimizer, loss_of(task), *divided), task.gather)(state, arrays, rows)

    run_all = jax.vmap(run_member, in_axes=(0, None, 0, 0)) if others else run_member
    carry = jax.tree.map(np.asarray, state.carry)  # copied, since steps donate theirs
    if mesh is None:
        run = jax.jit(run_all, donate_argnums=0)
        return Runner(
            state,
            lambda state, arrays, rows: run(state, arrays, jnp.asarray(rows), numbers),
            jax.tree.map(jnp.asarray, task.arrays),
            lambda: jax.tree.map(jnp.asarray, carry),
            lambda state: state,
        )
    front = 1 if others else 0
    run, specs = shard_step(run_all, mesh, state, front)
    placed_numbers = place(numbers, mesh, P())
    return Runner(
        place(state, mesh, specs),
        lambda state, arrays, rows: run(state, arrays, place(rows, mesh, row_spec(front)), placed_numbers),
        place(task.arrays, mesh, P()),
        lambda: place(carry, mesh, specs.carry),
        lambda state: place(state, mesh, specs),
    )


def initial_scale(config: TrainConfig) -> Any:
    """The initial loss scale for float16, whose range is too small for plain gradients; () for other types."""
    if config.precision != "float16":
        return ()
    return DynamicScale(fin_steps=jnp.int32(0), scale=jnp.float32(DynamicScale().scale))  # type: ignore[arg-type]


def batches(task: Task, runs: Sequence[TrainConfig], epoch: int, first: int) -> Iterable[Any]:
    """The batches of an epoch for `run_steps`, from call `first`: (steps per call, B), or (members, steps, B)."""
    each = [task.batches(run, epoch, first) for run in runs]
    return each[0] if len(each) == 1 else map(np.stack, zip(*each, strict=True))


def member(tree: Any, at: int, count: int) -> Any:
    """The part of `tree` that belongs to one of `count` members."""
    return tree if count == 1 else jax.tree.map(lambda leaf: leaf[at], tree)


def _with(config: TrainConfig, chosen: Chosen) -> TrainConfig:
    """`config` with the `chosen` values, all set at once, since some fit only together."""
    given = arguments(config.optim)
    own, model, optim, args = dict[str, Any](), dict[str, Any](), dict[str, Any](), dict[str, float]()
    for name, value in chosen:
        if name in ("seed", "batch_size"):
            own[name] = value
        elif name in SHAPES:
            model[name] = float(value) if name == "dropout" else value
        elif name in SWEPT:
            optim[name] = float(value)
        elif name in given:
            args[name] = value
        else:
            known = ", ".join((*SWEPT, *SHAPES, *given))
            raise InputError(
                f"`--sweep` must name one of {known}, or an argument of the optimiser that --optimizer-args gives; "
                f"got {name} (anything else needs a run of its own)"
            )
    if args:
        optim["optimizer_args"] = tuple(f"{key}={value}" for key, value in (given | args).items())
    return replace(config, model=replace(config.model, **model), optim=replace(config.optim, **optim), **own)


def _numbers(optim: OptimConfig) -> dict[str, float]:
    """The numbers that may differ between members."""
    return {name: getattr(optim, name) for name in SWEPT} | arguments(optim)
