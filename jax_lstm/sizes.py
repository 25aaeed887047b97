"""The names and shapes of an LSTM's parameters, as `torch.nn.LSTM` has them: one place that knows them all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jax_lstm.checks import InputError, require, require_bool, require_floating, require_shape, require_size

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """What fixes the parameters of an LSTM. The last two belong to `Variant`; PyTorch has no such parameters."""

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    bidirectional: bool = False
    proj_size: int = 0
    layer_norm: bool = False
    peepholes: bool = False

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers", "proj_size"):
            size = require_size(name, getattr(self, name), least=0 if name == "proj_size" else 1)
            object.__setattr__(self, name, size)
        below = self.proj_size < self.hidden_size
        require(below, "proj_size", f"be smaller than hidden_size, {self.hidden_size}", self.proj_size)
        for name in ("bias", "bidirectional"):
            require_bool(name, getattr(self, name))

    @property
    def output_size(self) -> int:
        """R, the size of `h`: P with a projection, H without."""
        return self.proj_size or self.hidden_size

    @property
    def num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    def suffixes(self) -> Iterator[tuple[int, str]]:
        """Each layer and direction in the order of the states, as (layer, what ends the names of its parameters)."""
        for layer in range(self.num_layers):
            for direction in ("", "_reverse")[: self.num_directions]:
                yield layer, f"_l{layer}{direction}"

    def of_layer(self, layer: int = 0) -> Shapes:
        """The names, without suffix, and shapes of one layer's parameters in one direction, PyTorch's first."""
        hidden, gates, output = self.hidden_size, 4 * self.hidden_size, self.output_size
        inputs = self.input_size if layer == 0 else output * self.num_directions
        shapes: Shapes = {"weight_ih": (gates, inputs), "weight_hh": (gates, output)}
        if self.bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, hidden)
        if self.peepholes:
            shapes["weight_ch"] = (3 * hidden,)
        if self.layer_norm:
            shapes |= {"norm_ih": (gates,), "norm_hh": (gates,), "norm_c": (hidden,)}
            shapes |= {"norm_c_bias": (hidden,)} if self.bias else {}
        return shapes

    def shapes(self) -> Shapes:
        """Every parameter's full name and shape, in PyTorch's order."""
        return {
            name + suffix: shape for layer, suffix in self.suffixes() for name, shape in self.of_layer(layer).items()
        }

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Sizes":
        """The sizes that a mapping of full names to arrays has.

        Raises:
            InputError: a name is missing or unknown, or a shape does not fit the others.
        """
        require(isinstance(params, Mapping), "params", "be a mapping of names to arrays", type(params).__name__)
        for name, param in params.items():
            fix = "see jax_lstm.state_dict and load_file" if hasattr(param, "detach") else ""
            ok = isinstance(param, jax.Array | np.ndarray | jax.ShapeDtypeStruct)
            require(ok, f"params[{name!r}]", "be a JAX or NumPy array", type(param).__name__, fix)
            require_floating(str(name), param)
        for name in ("weight_ih_l0", "weight_hh_l0"):
            require(name in params, "params", f"have a {name}", ", ".join(map(str, params)) or "nothing")
            require_shape(name, params[name], ("4H", "I" if name == "weight_ih_l0" else "R"))
        (gates, inputs), output = params["weight_ih_l0"].shape, params["weight_hh_l0"].shape[1]
        require(gates % 4 == 0 and gates > 0, "weight_ih_l0", "have 4H rows, one block a gate", f"{gates} rows")
        layers = 1
        while f"weight_ih_l{layers}" in params:
            layers += 1
        sizes = cls(
            inputs,
            gates // 4,
            layers,
            bias="bias_ih_l0" in params,
            bidirectional="weight_ih_l0_reverse" in params,
            proj_size=output if "weight_hr_l0" in params else 0,
            layer_norm="norm_ih_l0" in params,
            peepholes="weight_ch_l0" in params,
        )
        shapes = sizes.shapes()
        for label, names in (
            ("lacks", shapes.keys() - params.keys()),
            ("has an unknown", params.keys() - shapes.keys()),
        ):
            if names:
                raise InputError(
                    f"`params` must name the parameters of one LSTM; it {label} {', '.join(sorted(map(str, names)))}"
                )
        for name, shape in shapes.items():
            require_shape(name, params[name], shape)
        return sizes
