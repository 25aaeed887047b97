"""Optimisers by name: schedules, clipping, arguments, and what cannot be used."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_lstm import InputError
from jax_lstm.train import OptimConfig
from jax_lstm.train.optimizer import make_optimizer, make_schedule

PARAMS = {"w": jnp.ones(3)}


def test_usual_optimisers_step_downhill() -> None:
    for name in ("adam", "adamw", "sgd", "rmsprop", "lion", "adagrad", "lamb", "nadam", "radam", "yogi"):
        optimizer = make_optimizer(OptimConfig(optimizer=name, learning_rate=0.1), 10, PARAMS)
        (update,) = jax.tree.leaves(optimizer.update({"w": jnp.ones(3)}, optimizer.init(PARAMS), PARAMS)[0])
        assert (np.asarray(update) <= 0).all(), name


def test_arguments_reach_the_optimiser() -> None:
    config = OptimConfig(optimizer="sgd", learning_rate=0.5, optimizer_args=("momentum=0.9",))
    ours, optaxs = make_optimizer(config, 10, PARAMS), optax.sgd(0.5, momentum=0.9)
    gradients, state, expected = {"w": jnp.arange(3.0)}, ours.init(PARAMS), optaxs.init(PARAMS)
    updates = wanted = None
    for _ in range(2):
        updates, state = ours.update(gradients, state, PARAMS)
        wanted, expected = optaxs.update(gradients, expected, PARAMS)
    np.testing.assert_allclose(*jax.tree.leaves((updates, wanted)))


def test_gradients_are_clipped_to_their_norm() -> None:
    config = OptimConfig(optimizer="sgd", learning_rate=1.0, clip_norm=1.0)
    optimizer = make_optimizer(config, 10, PARAMS)
    (update,) = jax.tree.leaves(optimizer.update({"w": jnp.array([3.0, 0, 4.0])}, optimizer.init(PARAMS), PARAMS)[0])
    np.testing.assert_allclose(update, [-0.6, 0, -0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "middle", "end"),
    [("constant", 2.0, 2.0), ("cosine", 1.01, 0.02), ("linear", 1.01, 0.02), ("exponential", 0.2, 0.02)],
)
def test_schedules(schedule: str, middle: float, end: float) -> None:
    config = OptimConfig(learning_rate=2.0, schedule=schedule, warmup_steps=10)  # pyright: ignore[reportArgumentType]
    rate = make_schedule(config, 110)
    expected = {0: 0.0, 5: 1.0, 10: 2.0, 60: middle, 110: end}
    for step, value in expected.items():
        assert float(np.asarray(rate(step))) == pytest.approx(value, rel=1e-4, abs=1e-6), step


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (OptimConfig(optimizer="addam"), "`--optimizer` must be one of .*adamw.*; got 'addam'"),
        (OptimConfig(optimizer="scale_by_adam"), "`--optimizer` must be one of .*adamw"),
        (OptimConfig(optimizer="lbfgs"), "`--optimizer` .*lbfgs cannot be used"),
        (OptimConfig(optimizer_args=("beta=1",)), "`--optimizer-args` must name arguments of optax.adam.*b1"),
        (OptimConfig(optimizer_args=("b1",)), "`--optimizer-args` must be NAME=NUMBER, .*'b1'"),
        (OptimConfig(optimizer_args=("b1=high",)), "`--optimizer-args` must be NAME=NUMBER, .*'b1=high'"),
    ],
)
def test_what_cannot_be_used(config: OptimConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_optimizer(config, 10, PARAMS)
