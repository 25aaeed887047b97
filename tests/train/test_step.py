"""Steps: one compilation each, order of the batches, many steps in one call as one at a time."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_lstm.data import DataConfig, input_windows, target_windows
from jax_lstm.models.forecast_model import Layout
from jax_lstm.tasks.models import sequence_model
from jax_lstm.tasks.windows import make_forecast
from jax_lstm.train import ModelConfig, TrainConfig
from jax_lstm.train.batches import shuffled
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import init_state, make_run_steps, make_step

WINDOW, HORIZON = 4, 2
LAYOUT = Layout(WINDOW, HORIZON, 3)


def setup(**options: Any) -> tuple[Any, Any, Any, jax.Array, jax.Array]:
    config = TrainConfig(data=DataConfig(window=WINDOW, horizon=HORIZON), model=ModelConfig(hidden_size=5, **options))
    model = sequence_model(config, 3, HORIZON)
    optimizer = make_optimizer(config.optim, 10, nnx.state(model, nnx.Param))
    values = jnp.asarray(np.random.default_rng(0).standard_normal((50, 3)), jnp.float32)
    return model, make_step(model, optimizer), init_state(model, optimizer), values, values[:, :1]


def gather(arrays: Any, starts: jax.Array) -> tuple[jax.Array, jax.Array]:
    return input_windows(arrays[0], starts, WINDOW), target_windows(arrays[1], starts, WINDOW, HORIZON)


@pytest.mark.slow
def test_many_steps_in_one_call_are_one_at_a_time() -> None:
    _, step, state, inputs, targets = setup(num_layers=2, dropout=0.3)
    starts = np.arange(12, dtype=np.int32).reshape(3, 4)
    one_by_one = state
    for row in starts:
        batch = (input_windows(inputs, row, WINDOW), target_windows(targets, row, WINDOW, HORIZON))
        one_by_one, _ = jax.jit(step)(one_by_one, batch)
    at_once, metrics = make_run_steps(step, gather)(state, (inputs, targets), jnp.asarray(starts))
    assert at_once.step == one_by_one.step == 3
    assert metrics["loss"].shape == metrics["grad_norm"].shape == (3,)
    for got, expected in zip(jax.tree.leaves(at_once.params), jax.tree.leaves(one_by_one.params), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)


def test_each_step_function_compiles_once() -> None:
    model, step, state, inputs, targets = setup()
    run_steps, forecast = make_run_steps(step, gather), make_forecast(model, LAYOUT)
    traces = []
    forward = type(model).__call__

    def counted(self: Any, x: jax.Array) -> jax.Array:
        traces.append(x.shape)
        return forward(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "__call__", counted)
        for first in range(3):
            starts = jnp.arange(8, dtype=jnp.int32).reshape(2, 4) + first
            state, _ = run_steps(state, (inputs, targets), starts)
        assert len(traces) == 1
        for count in (3, 7, 600):  # one program whatever the number of windows
            forecast(state.params, inputs, np.zeros(count, np.int32))
        assert len(traces) == 2


def test_forecasts_are_the_models() -> None:
    model, _, _, inputs, _ = setup()
    starts = np.arange(40, dtype=np.int32)
    got = make_forecast(model, LAYOUT, batch_size=16)(nnx.state(model, nnx.Param), inputs, starts)
    assert isinstance(got, np.ndarray)
    windows = jnp.stack([inputs[start : start + WINDOW] for start in starts])
    np.testing.assert_allclose(got, model(windows), rtol=1e-5, atol=1e-6)


def test_batches_visit_each_window_once_in_an_order_of_seed_and_epoch() -> None:
    starts, config = np.arange(1000, dtype=np.int32), TrainConfig(batch_size=32, chunk_steps=10)
    first, again, second = (shuffled(starts, config, epoch) for epoch in (0, 0, 1))
    calls, steps, batch_size = first.shape
    assert (batch_size, calls * steps) == (32, 28)  # 31 whole batches, cut to calls of one length
    assert steps <= config.chunk_steps
    assert len(np.unique(first)) == first.size
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, shuffled(starts, TrainConfig(batch_size=32, chunk_steps=10, seed=1), 0))
    assert shuffled(starts[:5], config, 0).shape == (1, 1, 5)  # fewer windows than a batch
