"""PyTorch's names and layouts for the variables of Flax modules: one row for each layer type."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from jax_lstm.checks import require

NORM = {"scale": "weight", "bias": "bias"}

# {layer: {attribute: PyTorch's name}}, in PyTorch's order; "" leaves a level out. Other attributes keep their names.
ROWS: dict[type, dict[str, str]] = {
    nnx.Linear: {"kernel": "weight", "bias": "bias"},
    nnx.Conv: {"kernel": "weight", "bias": "bias"},
    nnx.Embed: {"embedding": "weight"},
    nnx.LayerNorm: NORM,
    nnx.RMSNorm: NORM,
    nnx.GroupNorm: NORM,
    nnx.InstanceNorm: NORM,
    nnx.BatchNorm: NORM | {"mean": "running_mean", "var": "running_var"},
    nnx.Sequential: {"layers": ""},
    nnx.RNN: {"cell": ""},  # in PyTorch a loop in `forward`, not a module
    nnx.Bidirectional: {},
    nnx.RNNCellBase: {},  # the base of our LSTMCell; Flax's own cells have no row
}
NOT_SAVED = (nnx.RngState, nnx.Cache, nnx.Intermediate, nnx.Metric)


class Tensor(NamedTuple):
    """A variable of a Flax module as a tensor of PyTorch.

    The input and output axes of a `kernel` are the last two in Flax, and in PyTorch the first two, swapped.
    """

    variable: nnx.Variable
    kernel: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in PyTorch."""
        shape = tuple(self.variable.shape)
        return (shape[-1], shape[-2], *shape[:-2]) if self.kernel else shape

    def to_torch(self) -> np.ndarray:
        """A copy of the value in PyTorch's layout."""
        value = np.asarray(self.variable[...])
        return np.array(np.moveaxis(value, (-1, -2), (0, 1)) if self.kernel else value, order="C")

    def from_torch(self, array: np.ndarray) -> np.ndarray:
        """An array of PyTorch's layout in Flax's."""
        return np.moveaxis(array, (0, 1), (-1, -2)) if self.kernel else array


class Tensors(NamedTuple):
    """The tensors of a module.

    `named`: tensors by PyTorch's names; None for a `num_batches_tracked`, which Flax does not keep.
    `unsupported`: {path of a variable: its layer} for layers without a row.
    """

    named: dict[str, Tensor | None]
    unsupported: dict[str, str]


def tensors_of(module: nnx.Module) -> Tensors:
    """Find the tensors of `module`; one that is reachable by two paths has two names, as in PyTorch."""
    found = Tensors({}, {})
    _visit(module, (), "", (), found)
    return found


def _visit(node: Any, path: tuple[str, ...], unsupported: str, parents: tuple[Any, ...], found: Tensors) -> None:
    if isinstance(node, NOT_SAVED) or any(node is parent for parent in parents):
        return
    row = {} if unsupported else _row(type(node))
    if row is None:
        row, unsupported = {}, f"nnx.{type(node).__name__}"
    for attribute, child in _attributes(node, row):
        name = row.get(attribute, attribute)
        inner = (*path, name) if name else path
        if not isinstance(child, nnx.Variable):
            _visit(child, inner, unsupported, (*parents, node), found)
        elif isinstance(child, NOT_SAVED):
            continue
        elif unsupported:
            found.unsupported[".".join(inner)] = unsupported
        else:
            found.named[".".join(inner)] = Tensor(child, attribute == "kernel" and attribute in row)
    if isinstance(node, nnx.BatchNorm) and not unsupported:
        found.named[".".join((*path, "num_batches_tracked"))] = None
    for alias, name in getattr(node, "tied_names", {}).items():
        original = ".".join((*path, name))
        require(original in found.named, "tied_names", f"map a new name to one of {type(node).__name__}", repr(name))
        found.named[".".join((*path, alias))] = found.named[original]


def _row(layer: type) -> dict[str, str] | None:
    """The row of a type or its nearest base; {} for users' own modules, None for layers of Flax that have no row."""
    for base in layer.__mro__:
        if base in ROWS or base.__module__.startswith("flax.nnx.nn."):
            return ROWS.get(base)
    return {}


def _attributes(node: Any, row: dict[str, str]) -> Iterable[tuple[str, Any]]:
    """The attributes of a module or the items of a container: first those in `row`, then the others."""
    if isinstance(node, nnx.Pytree):
        held: Mapping[str, Any] = vars(node)
    elif isinstance(node, Mapping):
        held = {str(key): value for key, value in node.items()}
    elif isinstance(node, list | tuple):
        held = {str(index): value for index, value in enumerate(node)}
    else:
        return ()
    return ({name: held[name] for name in row if name in held} | dict(held)).items()
