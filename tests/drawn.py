"""Modules with random parameters, without compiling their initialisers."""

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from flax import nnx

Module = TypeVar("Module", bound=nnx.Module)


def drawn(make: Callable[[], Module], seed: int = 0) -> Module:
    """What `make` builds, its variables (random state aside) drawn from U(-0.5, 0.5)."""
    module, rng = nnx.eval_shape(make), np.random.default_rng(seed)
    state = nnx.state(module, nnx.Not(nnx.RngState))
    nnx.update(
        module, jax.tree.map(lambda leaf: jax.numpy.asarray(rng.uniform(-0.5, 0.5, leaf.shape), leaf.dtype), state)
    )
    return module
