"""The variants' kernel against the oracle, forward, and against the slopes of the oracle, backward."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agree import assert_agree

from jax_lstm.params import LSTMParams, LSTMState
from jax_lstm.variants import Extras, VariantKernel

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 4, 6
VARIANTS: dict[str, tuple[str, ...]] = {
    "peepholes": ("weight_ch",),
    "layer_norm": ("norm_ih", "norm_hh", "norm_c", "norm_c_bias"),
    "recurrent_dropout": ("recurrent_dropout",),
    "zoneout": ("zoneout_h", "zoneout_c"),
    "all": oracle.Variant._fields,
}


def draw(names: tuple[str, ...], output: int, rng: np.random.Generator) -> oracle.Variant:
    shapes = {
        "weight_ch": (3 * HIDDEN,), "norm_ih": (4 * HIDDEN,), "norm_hh": (4 * HIDDEN,), "norm_c": (HIDDEN,),
        "norm_c_bias": (HIDDEN,), "recurrent_dropout": (BATCH, output), "zoneout_h": (STEPS, BATCH, output),
        "zoneout_c": (STEPS, BATCH, HIDDEN),
    }  # fmt: skip
    arrays = {name: rng.uniform(-1, 1, shapes[name]) for name in names}
    for name in arrays.keys() & {"recurrent_dropout", "zoneout_h", "zoneout_c"}:
        arrays[name] = (arrays[name] > 0) * (2.0 if name == "recurrent_dropout" else 1.0)
    return oracle.Variant(**arrays)


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        pytest.param(name, bare, marks=[] if (name, bare) == ("all", False) else [pytest.mark.slow])
        for name in VARIANTS
        for bare in (False, True)
    ],
)
def test_is_the_oracle(name: str, bare: bool, x64: None) -> None:
    """`bare` is forward in time, without projection, mask and resets; else all of them come together."""
    rng = np.random.default_rng(0)
    proj_size = 0 if bare else 4
    output = proj_size or HIDDEN
    params = oracle.random_params(rng, INPUT, HIDDEN, proj_size=proj_size)
    variant = draw(VARIANTS[name], output, rng)
    rows = (STEPS, BATCH)
    options: dict[str, Any] = {} if bare else {"reverse": True, "mask": rng.random(rows) < 0.7}
    options |= {} if bare else {"resets": rng.random(rows) < 0.3}
    xs, h, c = rng.standard_normal((*rows, INPUT)), rng.standard_normal((BATCH, output)), np.ones((BATCH, HIDDEN))
    weights = [rng.standard_normal(shape) for shape in ((*rows, output), (BATCH, output), (BATCH, HIDDEN))]
    learned = [
        key
        for key in ("weight_ch", *(k for k in Extras._fields if k.startswith("norm")))
        if getattr(variant, key) is not None
    ]
    keys = [*params, *learned]

    def by_oracle(xs: np.ndarray, h: np.ndarray, c: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        named = dict(zip(keys, arrays, strict=True))
        own = {key: named[key] for key in params}
        used = variant._replace(**{key: named[key] for key in learned})
        return oracle.layer(own, xs, h, c, **options, variant=used)[:3]

    def scalar(*arrays: np.ndarray) -> float:
        return float(sum((out * weight).sum() for out, weight in zip(by_oracle(*arrays), weights, strict=True)))

    @jax.jit
    def run(*arrays: jax.Array) -> Any:
        def loss(*arrays: jax.Array) -> Any:
            xs, h, c, *rest = arrays
            named = dict(zip(keys, rest, strict=True))
            zoneout = None
            if variant.zoneout_h is not None and variant.zoneout_c is not None:
                zoneout = LSTMState(jnp.asarray(variant.zoneout_h), jnp.asarray(variant.zoneout_c))
            masks = (
                {}
                if variant.recurrent_dropout is None
                else {"recurrent_dropout": jnp.asarray(variant.recurrent_dropout)}
            )
            extras = Extras(**{key: named[key] for key in learned}, **masks, zoneout=zoneout)
            own = LSTMParams(**{key: named[key] for key in params})
            ys, state = VariantKernel().sequence((own, extras), LSTMState(h, c), xs, **options)
            outputs = (ys, *state)
            return sum((out * weight).sum() for out, weight in zip(outputs, weights, strict=True)), outputs

        return jax.grad(loss, argnums=tuple(range(len(arrays))), has_aux=True)(*arrays)

    ins = [xs, h, c, *params.values(), *(np.asarray(getattr(variant, key)) for key in learned)]
    gradients, outputs = run(*map(jnp.asarray, ins))
    for got, expected in zip(outputs, by_oracle(*ins), strict=True):
        assert_agree("outputs", got, expected, "float64")
    for at, gradient in enumerate(gradients):
        direction = rng.standard_normal(gradient.shape)
        expected = oracle.slope(scalar, ins, at, direction)
        assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-6, abs=1e-8), ([*"xhc", *keys])[at]
