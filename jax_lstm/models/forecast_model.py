"""The forecaster's network: an LSTM over segments of a window, beside a linear map from the window to the horizon."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from jax_lstm.checks import require, require_size
from jax_lstm.layers import LSTM
from jax_lstm.models.linear import Frozen, Linear
from jax_lstm.params import LSTMState

Normalise = Literal["last", "mean", "none"]
SMALLEST = 1e-5  # added to the variance of a window


@dataclass(frozen=True)
class Layout:
    """What a window holds: its rows, and the roles of its columns, as indices of the F columns that the model reads.

    `target` (C) are forecast, `known` (K) are known for the rows ahead too, and `static` are the same in all rows. All
    other columns, and those that are known, are covariates. `calendar` are those that are known from the timestamps.
    """

    window: int
    horizon: int
    features: int
    target: tuple[int, ...] = (0,)
    known: tuple[int, ...] = ()
    static: tuple[int, ...] = ()
    calendar: tuple[int, ...] = ()

    @property
    def lagged(self) -> tuple[int, ...]:
        """The covariates whose past tells more than the calendar and a static column do."""
        others = (*self.target, *self.static, *self.calendar)
        return tuple(at for at in range(self.features) if at not in others)


def normalised(x: Any, target: Sequence[int], how: Normalise) -> tuple[Any, Any, Any]:
    """The targets (B, W, C) of windows (B, W, F), and the centre and scale (B, 1, C) that were taken out.

    In NumPy or JAX. "last" subtracts the last row; "mean" subtracts the mean and divides by the standard deviation of
    the window, as reversible instance normalisation does (https://openreview.net/forum?id=cGDAkQo1C0p).
    """
    own = x[:, :, np.array(target)]
    if how == "none":
        return own, own[:, :1] * 0, own[:, :1] * 0 + 1
    if how == "last":
        return own - own[:, -1:], own[:, -1:], own[:, :1] * 0 + 1
    centre = own.mean(axis=1, keepdims=True)
    scale = (own.var(axis=1, keepdims=True) + SMALLEST) ** 0.5
    return (own - centre) / scale, centre, scale


def linear_inputs(own: Any, x: Any, ahead: Any, layout: Layout, lags: int) -> Any:
    """The inputs (B, C, I) of the linear map, in NumPy or JAX: each target's normalised window (B, W, C).

    Unless `lags` is -1 also static columns and the covariates known ahead (B, horizon, K), and the last `lags` rows of
    the covariates in `x` (B, W, F).
    """
    xp = np if isinstance(x, np.ndarray) else jnp
    windows = own.swapaxes(1, 2)
    if lags < 0:
        return windows
    covariates = x[:, layout.window - lags :, np.array(layout.lagged, int)]
    covariates = covariates.reshape(x.shape[0], lags * len(layout.lagged))
    static = x[:, -1, np.array(layout.static, int)]
    known = ahead.reshape(x.shape[0], layout.horizon * len(layout.known))
    shared = xp.concatenate([static, known, covariates], axis=1)
    repeated = xp.broadcast_to(shared[:, None], (*windows.shape[:2], shared.shape[1]))
    return xp.concatenate([windows, repeated], axis=2)


def linear_size(layout: Layout, lags: int) -> int:
    """I, the number of inputs of the linear map."""
    covariates = len(layout.static) + layout.horizon * len(layout.known) + lags * len(layout.lagged)
    return layout.window + (covariates if lags >= 0 else 0)


class ForecastModel(nnx.Module):
    """Forecast the rows after a window with an LSTM over its segments, and a linear map beside it.

    The targets are normalised by their window, cut into segments of `segment` rows, each projected to H values and read
    by the LSTM as one step. The forecast is that of the LSTM plus a linear map from the normalised window
    (the bypass), and the normalisation is undone. With a bypass the LSTM's output layer starts at zero, so training
    starts at the linear map, whose weights get no gradient. Segments and parallel decoding are those of SegRNN (https://arxiv.org/abs/2308.11200).

    Args:
        layout: rows of the window and the horizon, and the roles of the F columns.
        hidden_size: H, the hidden units of every layer and the size of an embedded segment.
        num_layers: L, the number of LSTM layers.
        segment: rows per segment; at most the window. Rows at the start of the window that fill no segment are read by
            the bypass alone.
        normalise: "last", "mean" or "none", see `normalised`.
        channels: "apart" reads each of C targets as a sequence of its own, with shared weights; "joint" reads all at
            once.
        decode: "segments" runs the LSTM one step for each segment of the horizon, all from its last state, on an
            embedding of position and target; "linear" is one linear layer on the last output.
        bypass: whether there is a linear map beside the LSTM.
        lags: rows of the covariates that the bypass reads beside those ahead; -1 for no covariates at all.
        quantiles: Q, the number of values for each step and target, in ascending order; 0 for one value.
        dropout: dropout probability during training between layers; `output_dropout` that of the last outputs.
        dtype: computation type; None takes the widest of the parameters and the input.
        param_dtype: type of the parameters.
        rngs: source of the initial parameters and of the dropout masks.
        lstm_options: further options of `LSTM`, such as `proj_size`; `bidirectional=True` needs `decode="linear"`.

    Parameters, with S inputs and O outputs per segment: `embed.weight` (H, S), `embed.bias` (H,), those of `LSTM` under
    `lstm.`, `position` (segments, H), `target` (C, H) and `ahead.weight` (H, segment * K) of the decoding, `fc.weight`
    (O, R), `fc.bias` (O,), `bypass.weight` (horizon * Q, I), `bypass.bias` (horizon * Q,).

    Raises:
        InputError: an option is wrong; see also `LSTM`.
    """

    def __init__(
        self,
        layout: Layout,
        hidden_size: int = 64,
        num_layers: int = 1,
        *,
        segment: int,
        normalise: Normalise = "last",
        channels: Literal["apart", "joint"] = "apart",
        decode: Literal["segments", "linear"] = "segments",
        bypass: bool = True,
        lags: int = -1,
        quantiles: int = 0,
        dropout: float = 0.0,
        output_dropout: float = 0.0,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
        **lstm_options: Any,
    ):
        require_size("segment", segment)
        require(segment <= layout.window, "segment", f"be at most the window, {layout.window}", segment)
        both = lstm_options.get("bidirectional", False)
        fix = 'decode="linear" reads both'
        require(not (both and decode == "segments"), "bidirectional", "be False to decode segments", both, fix)
        types: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        targets, known = len(layout.target), len(layout.known)
        self.layout, self.segment, self.lags = layout, segment, lags
        self.normalise: Normalise = normalise
        self.apart, self.values = channels == "apart", max(quantiles, 1)
        self.segments = layout.window // segment
        inputs = segment * (layout.features - targets + (1 if self.apart else targets))
        outputs = self.values * (1 if self.apart else targets)
        self.steps = -(-layout.horizon // segment) if decode == "segments" else 0
        self.embed = Linear(inputs, hidden_size, **types)
        self.lstm = LSTM(
            hidden_size, hidden_size, num_layers, batch_first=True, dropout=dropout, **types, **lstm_options
        )
        size = self.lstm.sizes.output_size * self.lstm.sizes.num_directions
        if self.steps:
            self.position = _small(rngs, (self.steps, hidden_size), param_dtype)
            self.target = _small(rngs, (targets, hidden_size), param_dtype) if self.apart else None
            self.ahead = Linear(segment * known, hidden_size, **types) if known else None
            self.fc = Linear(size, segment * outputs, **types)
        else:
            self.fc = Linear(size + layout.horizon * known, layout.horizon * outputs, **types)
        size = linear_size(layout, lags)
        # In low precision the rounding of the bypass would show in every forecast.
        full: dict[str, Any] = types | {"dtype": None, "kind": Frozen}
        self.bypass = Linear(size, layout.horizon * self.values, **full) if bypass else None
        if self.bypass is not None:
            for layer in (self.fc, self.bypass):
                layer.weight[...], layer.bias[...] = layer.weight[...] * 0, layer.bias[...] * 0
        self.drop = nnx.Dropout(output_dropout, rngs=rngs) if output_dropout else None

    def __call__(self, x: jax.Array, ahead: jax.Array | None = None) -> jax.Array:
        """Map windows (B, W, F), and the columns known ahead (B, horizon, K), to (B, horizon * C).

        With quantiles (B, horizon * C * Q), Q running fastest.
        """
        layout = self.layout
        if ahead is None:
            ahead = jnp.zeros((x.shape[0], layout.horizon, 0), x.dtype)
        own, centre, scale = normalised(x, layout.target, self.normalise)
        y = self._decoded(self._encoded(x, centre, scale), ahead)  # (B, horizon, C, Q)
        if self.bypass is not None:
            # It stays as it was fitted: training it too was measured to lose more than it gains.
            linear = jax.lax.stop_gradient(self.bypass(linear_inputs(own, x, ahead, layout, self.lags)))
            y = y + linear.reshape(*linear.shape[:2], layout.horizon, self.values).swapaxes(1, 2)
        y = y * scale[..., None] + centre[..., None]
        y = jnp.sort(y, axis=-1) if self.values > 1 else y
        return y.reshape(x.shape[0], layout.horizon * len(layout.target) * self.values)

    def _encoded(self, x: jax.Array, centre: jax.Array, scale: jax.Array) -> tuple[jax.Array, LSTMState]:
        """The last output and state of the LSTM after all segments; its rows are B * C, or B if targets are joint."""
        rows = self.segments * self.segment
        columns = self._columns(x[:, self.layout.window - rows :], x[:, -1:], centre, scale)
        segments = columns.reshape(columns.shape[0], self.segments, -1)
        ys, state = self.lstm(jnp.tanh(self.embed(segments)))
        return ys[:, -1], state

    def _columns(self, x: jax.Array, last: jax.Array, centre: jax.Array, scale: jax.Array) -> jax.Array:
        """All columns of windows (B, rows, F), or with targets apart for each (B * C, rows, 1 + F - C).

        Targets are normalised. From other columns the last row is subtracted, since levels drift; those that are known
        ahead, and static ones, stay.
        """
        layout, targets = self.layout, np.array(self.layout.target)
        drifts = ~np.isin(np.arange(layout.features), (*layout.known, *layout.static))
        shift = (last * drifts).at[:, :, targets].set(centre)
        columns = (x - shift) / jnp.ones_like(shift).at[:, :, targets].set(scale)
        if not self.apart or len(targets) == 1:
            return columns
        own = columns[:, :, targets].swapaxes(1, 2).reshape(-1, x.shape[1], 1)
        others = np.setdiff1d(np.arange(layout.features), targets)
        return jnp.concatenate([own, jnp.repeat(columns[:, :, others], len(targets), axis=0)], axis=2)

    def _decoded(self, encoded: tuple[jax.Array, LSTMState], ahead: jax.Array) -> jax.Array:
        """The LSTM's part of the forecast, normalised, (B, horizon, C, Q)."""
        (last, state), layout, batch = encoded, self.layout, ahead.shape[0]
        sequences, columns = (len(layout.target), 1) if self.apart else (1, len(layout.target))
        if not self.steps:
            known = ahead.reshape(batch, layout.horizon * len(layout.known)).astype(last.dtype)
            y = self.fc(jnp.concatenate([self._dropped(last), jnp.repeat(known, sequences, axis=0)], axis=1))
        else:
            start = self._start(ahead, sequences)
            steps = jnp.repeat(state.h, self.steps, axis=1), jnp.repeat(state.c, self.steps, axis=1)
            ys, _ = self.lstm(start, LSTMState(*steps))
            y = self.fc(self._dropped(ys[:, 0]))
        y = y.reshape(batch, sequences, -1, columns, self.values)[:, :, : layout.horizon]
        return y.swapaxes(1, 2).reshape(batch, layout.horizon, len(layout.target), self.values)

    def _start(self, ahead: jax.Array, targets: int) -> jax.Array:
        """The inputs of the decoding (B * targets * segments, 1, H): position, target, and what is known ahead."""
        batch = ahead.shape[0]
        start = self.position[...][None, None]
        if self.target is not None:
            start = start + self.target[...][:, None]
        if self.ahead is not None:
            missing = self.steps * self.segment - self.layout.horizon
            padded = jnp.pad(ahead, ((0, 0), (0, missing), (0, 0)))
            start = start + self.ahead(padded.reshape(batch, 1, self.steps, -1))
        return jnp.broadcast_to(start, (batch, targets, *start.shape[2:])).reshape(-1, 1, start.shape[-1])

    def _dropped(self, x: jax.Array) -> jax.Array:
        return x if self.drop is None else self.drop(x)


def _small(rngs: nnx.Rngs, shape: tuple[int, ...], dtype: DTypeLike) -> nnx.Param:
    """An embedding from N(0, 0.02²)."""
    return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape, dtype))
