"""The golden values of Keras's LSTM, by running Keras's own tests with our recurrence inside.

Keras ships its tests in its wheel. Those of `keras/src/layers/rnn/lstm_test.py` and `bidirectional_test.py` that hold
expected arrays for an LSTM are run as they are, with `layers.LSTM` replaced by a subclass whose loop over time is ours;
no number of Keras is copied. Keras checks them to 1e-5. Their weights are constants, which tell apart the forget gate
alone, so Keras's LSTM also meets ours on drawn weights.

Keras: kernel (I, 4H), recurrent_kernel (H, 4H), bias (4H,), gates i, f, c, o; batch first. A masked step repeats the
output before it, unless `zero_output_for_mask`, which is what ours does.
"""

import inspect
import os
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from agree import assert_agree

import jax_lstm as jl

os.environ.setdefault("KERAS_BACKEND", "jax")
keras: Any = pytest.importorskip("keras")
lstm_test: Any = pytest.importorskip("keras.src.layers.rnn.lstm_test")
bidirectional_test: Any = pytest.importorskip("keras.src.layers.rnn.bidirectional_test")
if keras.backend.backend() != "jax":
    pytest.skip(f"Keras was imported with {keras.backend.backend()}", allow_module_level=True)

GOLDEN = {
    lstm_test.LSTMTest: {
        "test_correctness0", "test_correctness1", "test_masking", "test_pass_initial_state", "test_statefulness"
    },
    bidirectional_test.SimpleRNNTest: {"test_pass_initial_state", "test_return_state", "test_statefulness"},
}  # fmt: skip
RUNS = []  # one entry for each run of our loop


@keras.saving.register_keras_serializable("proof")  # `Bidirectional` makes its layers anew, by name
class Ours(keras.layers.LSTM):
    """Keras's layer, weights, states and arguments; the loop over time is `jax_lstm.functional.lstm`."""

    def inner_loop(self, sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
        xs, at = sequences, slice(None, None, -1) if self.go_backwards else slice(None)
        mask = None if mask is None else np.asarray(mask)[:, at]
        params = {"weight_ih_l0": self.cell.kernel.value.T, "weight_hh_l0": self.cell.recurrent_kernel.value.T}
        if self.use_bias:
            bias = self.cell.bias.value
            params |= {"bias_ih_l0": bias, "bias_hh_l0": 0 * bias}
        ys, (h, c) = jl.functional.lstm(
            params, xs[:, at], tuple(part[None] for part in initial_state), batch_first=True, mask=mask
        )
        RUNS.append(ys.shape)
        if mask is not None and not self.zero_output_for_mask:
            ys = repeat_where_masked(np.asarray(ys), mask, np.asarray(initial_state[0]))
        last = ys[:, -1] if self.zero_output_for_mask else h[0]  # the state, which masked steps hold
        return last, ys, [h[0], c[0]]


def repeat_where_masked(ys: np.ndarray, mask: np.ndarray, before: np.ndarray) -> np.ndarray:
    held = []
    for t in range(ys.shape[1]):
        before = np.where(mask[:, t, None], ys[:, t], before)
        held.append(before)
    return np.stack(held, axis=1)


def test_no_golden_value_is_left_out() -> None:
    """All tests of the LSTM but one that looks at shapes alone; of `Bidirectional` those of an LSTM with arrays."""
    own = {suite: {name for name in vars(suite) if name.startswith("test_")} for suite in GOLDEN}
    assert own[lstm_test.LSTMTest] - GOLDEN[lstm_test.LSTMTest] == {"test_basics"}
    suite = bidirectional_test.SimpleRNNTest
    golden = re.compile(r"layers\.LSTM\(.*assertAllClose\(\s*output,\s*np\.array\(", re.DOTALL)
    found = {name for name in own[suite] if golden.search(inspect.getsource(getattr(suite, name)))}
    assert found == GOLDEN[suite]


@pytest.mark.parametrize(
    ("suite", "name"), [(suite, name) for suite, names in GOLDEN.items() for name in sorted(names)]
)
def test_kerass_own(suite: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lstm_test, bidirectional_test):
        monkeypatch.setattr(module, "layers", SimpleNamespace(**vars(module.layers) | {"LSTM": Ours}))
    RUNS.clear()
    result = suite(name).run()
    assert result is not None
    for _, text in result.failures + result.errors:
        pytest.fail(text)
    assert result.testsRun == 1
    assert not result.skipped
    assert RUNS, "our loop never ran"


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_drawn_weights_tell_the_gates_apart(use_bias: bool, go_backwards: bool, masked: bool) -> None:
    """In float32: that is what Keras's tanh gives, whatever the type."""
    rng, options = np.random.default_rng(0), {"use_bias": use_bias, "go_backwards": go_backwards}
    layers = [make(5, return_sequences=True, return_state=True, **options) for make in (Ours, keras.layers.LSTM)]
    xs, *state = (rng.standard_normal(shape).astype("float32") for shape in ((3, 6, 4), (3, 5), (3, 5)))
    mask = rng.random((3, 6)) < 0.6 if masked else None
    for layer in layers:
        layer.build(xs.shape)
    weights = [rng.uniform(-1, 1, weight.shape) for weight in layers[0].weights]
    assert len(weights) == 2 + use_bias
    for layer in layers:
        layer.set_weights(weights)
    ours, theirs = (layer(xs, initial_state=state, mask=mask) for layer in layers)
    for got, expected in zip(ours, theirs, strict=True):
        assert_agree("outputs", got, expected, "float32")
