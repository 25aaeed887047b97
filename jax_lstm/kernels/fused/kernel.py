"""The `Fused` kernel: a whole sequence as one primitive, lowered by platform."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp

from jax_lstm.checks import require, require_one_of
from jax_lstm.kernels.base import Call, Kernel, Outputs, Stack
from jax_lstm.kernels.fused import lowerings
from jax_lstm.kernels.fused.arrays import OUTPUTS, Arrays, at_layer, dtype
from jax_lstm.kernels.fused.operations import infer
from jax_lstm.params import LSTMState


@dataclass(frozen=True)
class Fused(Kernel):
    """One primitive for a whole sequence, forward and backward.

    Attributes:
        lowering: "auto": on each platform the fastest lowering that a committed record shows: today C++ on CPU, plain
            JAX elsewhere. "native": the C++ library; on a CPU only. "plain": plain JAX. "pallas": a kernel in Pallas,
            on TPUs and on NVIDIA's Hopper GPUs.
        chip: with "pallas", the chip to fit, as "v5e" or "h100": its on-chip memory bounds the sizes that are served.
            None: the TPU with the least memory, or the GPU that is there.

    Raises:
        InputError: there is no such lowering or chip, or `chip` is given without "pallas".

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> import jax_lstm as jl
        >>> lstm = jl.LSTM(10, 20, backend=jl.kernels.Fused("plain"), rngs=nnx.Rngs(0))
        >>> lstm(jnp.ones((5, 32, 10)))[0].shape
        (5, 32, 20)
    """

    purpose: ClassVar[str] = "plain JAX, for every platform and type"
    lowering: str = "auto"
    chip: str | None = None

    def __post_init__(self) -> None:
        require_one_of("lowering", self.lowering, lowerings.NAMES)
        require(
            self.chip is None or self.lowering == "pallas",
            "chip",
            "be given with lowering='pallas' alone",
            f"lowering={self.lowering!r}",
        )
        require_one_of("chip", self.chip, (None, *lowerings.CHIPS))

    @property
    def name(self) -> str:
        return self.lowering

    @property
    def caveat(self) -> str:
        return "never run on such a device" if self.lowering == "pallas" else ""

    @property
    def options(self) -> tuple[str, ...]:
        """The chip, where a chip matters."""
        return ("chip",) if self.lowering == "pallas" else ()

    def refuses(self, call: Call) -> str:
        """Why the lowering that was named does not support `call`; "auto" and "plain" serve every call."""
        return lowerings.refusals(call._replace(chip=self.chip)).get(self.lowering, "")

    def joined(self, stack: Stack) -> Outputs | None:
        """Run a small stack in one call, so that its layers can advance together, each on a thread of its own."""
        first, layers = stack.layers[0][0], range(len(stack.layers))
        dropped, both_ways = any(drop is not None for drop in stack.drops), len(stack.layers[0]) == 2
        replaced = type(self).sequence is not Fused.sequence  # by a subclass
        if len(layers) == 1 or dropped or both_ways or replaced or not self.pairs(*first.state.c.shape):
            return None
        arrays = {"xs": stack.xs, "mask": stack.mask, "resets": stack.resets}
        for layer, (own,) in enumerate(stack.layers):
            named = {**own.params._asdict(), "h0": own.state.h, "c0": own.state.c}
            arrays |= {at_layer(name, layer): array for name, array in named.items()}
        ys = at_layer("ys", layers[-1])
        h, c = ([at_layer(name, layer) for layer in layers] for name in ("h", "c"))
        found = infer(_of_one_member(arrays), (ys, *h, *c), False, self.lowering, self.chip)
        return found[ys][0], LSTMState(*(jnp.concatenate([found[name] for name in names]) for names in (h, c)))

    def sequence(
        self, params: Any, state: LSTMState, xs: Any, *, reverse: bool = False, mask: Any = None, resets: Any = None
    ) -> Outputs:
        """Run one layer in one direction; see `Kernel.sequence`."""
        arrays = {"xs": xs, **params._asdict(), "h0": state.h, "c0": state.c, "mask": mask, "resets": resets}
        found = infer(_of_one_member(arrays), OUTPUTS, reverse, self.lowering, self.chip)
        return found["ys"][0], LSTMState(found["h"][0], found["c"][0])

    def pairs(self, batch: Any, hidden_size: int) -> bool:
        """True for few rows and units, where threads that share a direction would wait for each other at every step."""
        return isinstance(batch, int) and batch <= 4 and hidden_size <= 64


def _of_one_member(arrays: Arrays) -> Arrays:
    """The arrays that were given, with the axis N and the types that the operations take."""
    compute = arrays["xs"].dtype
    one = {name: jnp.asarray(array)[None] for name, array in arrays.items() if array is not None}
    return one | {name: array.astype(dtype(name, compute)) for name, array in one.items() if "bias" in name}
