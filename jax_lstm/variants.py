"""Options beyond `torch.nn.LSTM`: what each does, where it comes from, and the recurrence with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jax_lstm.checks import require_bool, require_probability
from jax_lstm.kernels.base import Kernel, Outputs
from jax_lstm.kernels.masking import dropout_mask, keep_masked, reset_state, zero_masked, zero_padding
from jax_lstm.kernels.reference import product, sum_of_biases
from jax_lstm.params import LSTMParams, LSTMState

EPSILON = 1e-5  # added to the variance in layer normalisation


class Extras(NamedTuple):
    """The arrays that a variant adds to one layer in one direction, in the type of the state; None if it adds none.

    `weight_ch` (3H,): peepholes of i, f, o. `norm_ih`, `norm_hh` (4H,): gains of the normalised products; `norm_c` and
    `norm_c_bias` (H,): gain and bias of the normalised cell state. `recurrent_dropout` (B, R): factor of `h` before
    every product, the same at every step. `zoneout`: at each step, the fraction of the old state that is kept, for `h`
    (T, B, R) and for `c` (T, B, H), or broadcast to these.
    """

    weight_ch: jax.Array | None = None
    norm_ih: jax.Array | None = None
    norm_hh: jax.Array | None = None
    norm_c: jax.Array | None = None
    norm_c_bias: jax.Array | None = None
    recurrent_dropout: jax.Array | None = None
    zoneout: LSTMState | None = None


@dataclass(frozen=True)
class Variant:
    """Changes to the plain LSTM. Random ones apply in training only; in `functional.lstm`, if a key is given.

    Attributes:
        recurrent_dropout: probability with which a unit of `h` is dropped before it enters the products of the gates;
            one mask a sequence, the same at every step and for all gates, kept units scaled by 1/(1-p). Gal and
            Ghahramani 2016, https://arxiv.org/abs/1512.05287.
        zoneout_h: probability with which a unit of `h` keeps its value over a step; its expectation when not training.
            Krueger et al. 2017, https://arxiv.org/abs/1606.01305.
        zoneout_c: the same for the cell state.
        weight_dropout: probability with which an entry of `weight_hh` is dropped, for the whole sequence and all rows,
            kept ones scaled by 1/(1-p). Merity et al. 2018, https://arxiv.org/abs/1708.02182.
        layer_norm: layer normalisation of W_ih x, of W_hh h (each over all four gates) and of the cell state where it
            leaves through tanh, with gains `norm_ih_l{k}`, `norm_hh_l{k}` (4H,), `norm_c_l{k}` (H,), and the bias
            `norm_c_bias_l{k}` (H,); the other biases are the LSTM's own. Ba et al. 2016, equations 20 to 22,
            https://arxiv.org/abs/1607.06450.
        peepholes: the gates i and f also see the cell state before the step and o the one after it, each unit its own,
            through `weight_ch_l{k}` (3H,) in the order i, f, o. Gers et al. 2002,
            https://www.jmlr.org/papers/v3/gers02a.html.

    Raises:
        InputError: a probability is outside 0 to 1, or a switch is not a bool.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> variant = jl.Variant(recurrent_dropout=0.1, peepholes=True)
        >>> lstm = jl.LSTM(10, 20, variant=variant, rngs=nnx.Rngs(0))
        >>> lstm.params["weight_ch_l0"].shape, lstm(jnp.ones((5, 32, 10)))[0].shape
        ((60,), (5, 32, 20))
    """

    recurrent_dropout: float = 0.0
    zoneout_h: float = 0.0
    zoneout_c: float = 0.0
    weight_dropout: float = 0.0
    layer_norm: bool = False
    peepholes: bool = False

    def __post_init__(self) -> None:
        for name in ("recurrent_dropout", "zoneout_h", "zoneout_c", "weight_dropout"):
            require_probability(f"variant.{name}", getattr(self, name))
        for name in ("layer_norm", "peepholes"):
            require_bool(f"variant.{name}", getattr(self, name))

    @property
    def random(self) -> bool:
        """Whether training draws random numbers.

        Example:
            >>> import jax_lstm as jl
            >>> jl.Variant(zoneout_h=0.1).random, jl.Variant(layer_norm=True).random
            (True, False)
        """
        return any((self.recurrent_dropout, self.zoneout_h, self.zoneout_c, self.weight_dropout))

    def changes_recurrence(self, training: bool) -> bool:
        """Whether a step differs from that of the plain LSTM, so that no kernel but the variants' own can run it.

        Example:
            >>> import jax_lstm as jl
            >>> variant = jl.Variant(recurrent_dropout=0.1)
            >>> variant.changes_recurrence(training=True), variant.changes_recurrence(training=False)
            (True, False)
        """
        zoneout = self.zoneout_h > 0 or self.zoneout_c > 0
        return self.layer_norm or self.peepholes or zoneout or (training and self.recurrent_dropout > 0)

    def dropped_weight(self, weight_hh: jax.Array, key: jax.Array | None) -> jax.Array:
        """`weight_hh` (4H, R) with weight dropout drawn from `key`; as it is without a key.

        Example:
            >>> import jax
            >>> import jax.numpy as jnp
            >>> import jax_lstm as jl
            >>> jl.Variant(weight_dropout=0.5).dropped_weight(jnp.ones((80, 20)), jax.random.key(0)).shape
            (80, 20)
        """
        if key is None or self.weight_dropout == 0:
            return weight_hh
        return weight_hh * dropout_mask(
            jax.random.fold_in(key, 0), self.weight_dropout, weight_hh.shape, weight_hh.dtype
        )

    def extras(
        self, params: Mapping[str, jax.Array], steps: int, h_shape: tuple[int, ...], c_shape: tuple[int, ...],
        key: jax.Array | None, dtype: Any,
    ) -> Extras:  # fmt: skip
        """The arrays that the variant adds to one layer in one direction.

        Args:
            params: the parameters of the layer and direction, without suffix, as `weight_ch`.
            steps: T, the number of steps.
            h_shape: (B, R).
            c_shape: (B, H).
            key: random key in training, else None.
            dtype: the type of the state.

        Example:
            >>> import jax
            >>> import jax_lstm as jl
            >>> variant = jl.Variant(recurrent_dropout=0.1)
            >>> extras = variant.extras({}, 5, (32, 20), (32, 20), jax.random.key(0), "float32")
            >>> extras.recurrent_dropout.shape, extras.weight_ch
            ((32, 20), None)
        """
        arrays = {name: params[name].astype(dtype) for name in Extras._fields if name in params}
        if key is not None and self.recurrent_dropout > 0:
            mask = dropout_mask(jax.random.fold_in(key, 1), self.recurrent_dropout, h_shape, dtype)
            arrays["recurrent_dropout"] = mask
        zoneout = None
        if self.zoneout_h > 0 or self.zoneout_c > 0:
            rates, shapes = (self.zoneout_h, self.zoneout_c), (h_shape, c_shape)
            if key is None:
                parts = [jnp.full((steps, 1, 1), rate, dtype) for rate in rates]
            else:
                keys = jax.random.split(jax.random.fold_in(key, 2))
                parts = [
                    jax.random.bernoulli(key, rate, (steps, *shape)).astype(dtype)
                    for key, rate, shape in zip(keys, rates, shapes, strict=True)
                ]
            zoneout = LSTMState(*parts)
        return Extras(**arrays, zoneout=zoneout)


@dataclass(frozen=True)
class VariantKernel(Kernel):
    """The recurrence of a `Variant` under `jax.lax.scan`, differentiated by JAX; other kernels run the plain one."""

    purpose: ClassVar[str] = "the kernel for variants, which change the recurrence"

    @property
    def name(self) -> str:
        return "variant"

    def sequence(
        self, params: Any, state: LSTMState, xs: Any, *, reverse: bool = False, mask: Any = None, resets: Any = None
    ) -> Outputs:
        """Run one layer in one direction; `params` is a pair of `LSTMParams` and `Extras`. See `Kernel.sequence`."""
        plain, extras = params

        def body(state: LSTMState, at: tuple) -> tuple[LSTMState, jax.Array]:
            x, valid, reset, zoneout = at
            before = reset_state(state, reset)
            after = _step(plain, extras, zero_masked(valid, before), x)
            if zoneout is not None:
                after = LSTMState(
                    *(new + part * (old - new) for part, new, old in zip(zoneout, after, before, strict=True))
                )
            return keep_masked(valid, after, before)

        sequence = (zero_padding(xs, mask), mask, resets, extras.zoneout)
        state, ys = jax.lax.scan(body, state, sequence, reverse=reverse)
        return ys.astype(xs.dtype), state


def _step(params: LSTMParams, extras: Extras, state: LSTMState, x: jax.Array) -> LSTMState:
    h, c = state
    if extras.recurrent_dropout is not None:
        h = h * extras.recurrent_dropout
    from_x, from_h = product(x, params.weight_ih.T), product(h, params.weight_hh.T)
    if extras.norm_ih is not None and extras.norm_hh is not None:
        from_x, from_h = _normalised(from_x) * extras.norm_ih[None], _normalised(from_h) * extras.norm_hh[None]
    i, f, g, o = jnp.split(from_x + from_h + sum_of_biases(params, 2), 4, axis=-1)
    peepholes = None if extras.weight_ch is None else jnp.split(extras.weight_ch[None], 3, axis=-1)
    if peepholes is not None:
        i, f = i + peepholes[0] * c, f + peepholes[1] * c
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    if peepholes is not None:
        o = o + peepholes[2] * c
    shown = c
    if extras.norm_c is not None:
        shown = _normalised(c) * extras.norm_c[None]
        shown = shown if extras.norm_c_bias is None else shown + extras.norm_c_bias[None]
    h = jax.nn.sigmoid(o) * jnp.tanh(shown)
    return LSTMState(h if params.weight_hr is None else product(h, params.weight_hr.T), c)


def _normalised(x: jax.Array) -> jax.Array:
    """Zero mean and unit variance along the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + EPSILON)
