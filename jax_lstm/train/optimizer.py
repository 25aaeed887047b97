"""Optax optimisers from a config: schedule, clipping, optimiser."""

import functools
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import optax
from flax import nnx

from jax_lstm.checks import InputError, require
from jax_lstm.models.linear import Frozen
from jax_lstm.train.config import OptimConfig

NOTHING: Mapping[str, Any] = MappingProxyType({})


def make_schedule(config: OptimConfig, total_steps: int, own: Mapping[str, Any] = NOTHING) -> optax.Schedule:
    """The learning rate by step: warm-up, then the schedule over the rest of `total_steps`."""
    peak, steps = own.get("learning_rate", config.learning_rate), max(total_steps - config.warmup_steps, 1)
    final_rate = own.get("final_rate", config.final_rate)
    schedule: optax.Schedule
    match config.schedule:
        case "auto" | "constant":
            schedule = optax.constant_schedule(peak)
        case "cosine":
            schedule = optax.cosine_decay_schedule(peak, steps, final_rate)
        case "linear":
            schedule = optax.linear_schedule(peak, peak * final_rate, steps)
        case "exponential":
            schedule = _exponential(peak, steps, final_rate)
    if not config.warmup_steps:
        return schedule
    warmup = optax.linear_schedule(0.0, peak, config.warmup_steps)
    return optax.join_schedules([warmup, schedule], [config.warmup_steps])


def make_optimizer(
    config: OptimConfig, total_steps: int, params: Any, own: Mapping[str, Any] = NOTHING
) -> optax.GradientTransformation:
    """The optimiser for `params` (arrays or their shapes).

    `own` overrides numbers of `config`, fields or optimiser arguments; the values may be traced.

    Raises:
        InputError: Optax has no optimiser of that name, does not take an argument, or needs more than gradients.
    """
    factory = getattr(optax, config.optimizer, None)
    known = sorted(name for name in dir(optax) if _is_optimizer(name))
    require(config.optimizer in known, "--optimizer", f"be one of {', '.join(known)}", repr(config.optimizer))
    assert factory is not None
    given: dict[str, Any] = arguments(config)
    given |= {name: value for name, value in own.items() if name in given}
    takes = inspect.signature(factory).parameters
    for name in given:
        require(
            name in takes, "--optimizer-args", f"name arguments of optax.{config.optimizer}: {', '.join(takes)}", name
        )
    # A constant rate goes in as a number: as a schedule it would only add a counter to the state.
    plain = config.schedule in ("auto", "constant") and not config.warmup_steps
    rate = own.get("learning_rate", config.learning_rate) if plain else make_schedule(config, total_steps, own)
    try:
        optimizer = factory(rate, **given)
        jax.eval_shape(lambda tree: optimizer.update(tree, optimizer.init(tree), tree), params)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"`--optimizer` {config.optimizer} cannot be used with {given or 'no arguments'}: {reason}"
        ) from None
    clip_norm = own.get("clip_norm", config.clip_norm)
    clip = [optax.clip_by_global_norm(clip_norm)] if config.clip_norm else []
    frozen = jax.tree.map(_is_frozen, params, is_leaf=lambda node: isinstance(node, nnx.Variable))
    stay = [optax.masked(optax.set_to_zero(), frozen)] if any(jax.tree.leaves(frozen)) else []
    return optax.chain(*clip, optimizer, *stay)


def _is_frozen(node: Any) -> bool:
    return isinstance(node, Frozen)


def _exponential(peak: Any, steps: int, final_rate: Any) -> optax.Schedule:
    """Optax's own tests whether the rate is zero, which fails for a traced rate."""
    return lambda step: peak * final_rate ** (step / steps)


def _is_optimizer(name: str) -> bool:
    factory = getattr(optax, name)
    if name.startswith(("_", "scale_by")) or not (
        inspect.isfunction(factory) or isinstance(factory, functools.partial)
    ):
        return False
    parameters = list(inspect.signature(factory).parameters.values())
    others_have_defaults = all(parameter.default is not inspect.Parameter.empty for parameter in parameters[1:])
    return bool(parameters) and parameters[0].name == "learning_rate" and others_have_defaults


def arguments(config: OptimConfig) -> dict[str, float]:
    """`--optimizer-args` by name."""
    given = {}
    for text in config.optimizer_args:
        name, _, number = text.partition("=")
        try:
            given[name] = float(number)
        except ValueError:
            raise InputError(f"`--optimizer-args` must be NAME=NUMBER, as b1=0.95; got {text!r}") from None
    return given
