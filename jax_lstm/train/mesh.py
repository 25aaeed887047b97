"""Many devices, on one host or several: batch rows over the axes `data` and `model`, parameters over `model`."""

import math
import re
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jax_lstm.checks import InputError, require

DATA, MODEL = "data", "model"


def parse_mesh(text: str) -> dict[str, int]:
    """Axis sizes of `"data=4,model=2"`; an axis that is not named has size 1.

    Raises:
        InputError: it is something else.
    """
    sizes = {DATA: 1, MODEL: 1}
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"\s*(data|model)\s*=\s*([1-9]\d*)\s*", part)
        if found is None:
            raise InputError(f"`--mesh` must be data=N, model=N or both, as data=4,model=2; got {text!r}")
        sizes[found[1]] = int(found[2])
    return sizes


def make_mesh(text: str) -> Mesh | None:
    """The mesh for `--mesh`, over the devices of all hosts; None for one device.

    Raises:
        InputError: there are fewer devices, or several hosts and not all devices are used.
    """
    sizes = parse_mesh(text)
    wanted, devices = math.prod(sizes.values()), jax.devices()
    if jax.process_count() > 1 and not text:
        sizes, wanted = {DATA: len(devices), MODEL: 1}, len(devices)
    if jax.process_count() > 1:
        require(wanted == len(devices), "--mesh", f"use all {len(devices)} devices of the hosts", text)
    if wanted > len(devices):
        raise InputError(f"`--mesh` {text} needs {wanted} devices; there are {len(devices)}, {devices[0].platform}")
    return Mesh(np.array(devices[:wanted]).reshape(tuple(sizes.values())), tuple(sizes)) if wanted > 1 else None


@dataclass(frozen=True)
class HostRows:
    """One host's part of an array (S, B, ...): `rows` (S, b, ...), which start at row `first` of `batch` = B."""

    rows: np.ndarray
    first: int
    batch: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows.shape[0], self.batch, *self.rows.shape[2:])

    @property
    def dtype(self) -> Any:
        return self.rows.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        start, stop, _ = index[1].indices(self.batch)
        assert self.first <= start <= stop <= self.first + self.rows.shape[1]
        return self.rows[(index[0], slice(start - self.first, stop - self.first), *index[2:])]


def host_rows(mesh: Mesh, steps: int, batch: int) -> slice:
    """The batch rows that this host's devices need."""
    places = NamedSharding(mesh, P(None, DATA)).addressable_devices_indices_map((steps, batch)).values()
    rows = [place[1].indices(batch)[:2] for place in map(tuple, filter(None, places))]
    return slice(min(start for start, _ in rows), max(stop for _, stop in rows))


def place(tree: Any, mesh: Mesh, specs: Any) -> Any:
    """Put arrays, or `HostRows`, on the mesh; `specs` is one `PartitionSpec` for all, or a tree of them."""

    def put(leaf: Any, spec: P) -> jax.Array:
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = put(jax.random.key_data(leaf), P())
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        array = leaf if isinstance(leaf, HostRows) else np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, NamedSharding(mesh, spec), lambda index: array[index])

    specs = jax.tree.map(lambda _: specs, tree) if isinstance(specs, P) else specs
    return jax.tree.map(put, tree, specs)


def gather(tree: Any, mesh: Mesh | None) -> Any:
    """Gather sharded arrays on this host, to save them or to predict with them."""
    if mesh is None:
        return tree
    replicated = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, P()))(tree)

    def local(leaf: jax.Array) -> jax.Array:
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(local(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
        return jax.numpy.asarray(leaf.addressable_data(0))

    return jax.tree.map(local, replicated)


def param_spec(path: Any, leaf: Any, sizes: dict[str, int], front: int) -> P:
    """The sharding of a parameter or its optimiser moment: rows over `model`, after `front` member axes.

    Rows are gates, hidden units or outputs. An array whose rows do not divide is replicated.
    """
    name = jax.tree_util.keystr(path)
    rows = leaf.shape[front] if leaf.ndim > front else 0
    splits = re.search(r"weight|bias", name) is not None and rows and rows % sizes[MODEL] == 0
    return P(*[None] * front, MODEL) if splits and sizes[MODEL] > 1 else P()
