"""An ONNX graph under construction, and its file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_lstm.checks import require
from jax_lstm.export.program import Port
from jax_lstm.version import __version__

OPSET, IR_VERSION = 14, 8  # of 2021: the oldest with every operator used, so that old runtimes read the file
LARGEST = 2**31 - 1  # bytes in a Protobuf file


class Graph:
    """Nodes and constants of a graph under construction; values are referred to by name."""

    def __init__(self) -> None:
        self.nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output; returns the name of the output."""
        return self.node(operator, *inputs, outputs=[name or f"{operator.lower()}_{len(self.nodes)}"], **attributes)[0]

    def node(self, operator: str, *inputs: str, outputs: list[str], **attributes: Any) -> list[str]:
        """Add a node; an input "" is absent. Returns `outputs`."""
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append((operator, list(inputs), outputs, attributes))
        return outputs

    def constants_of(self, name: str, *parts: Any) -> list[str]:
        """The parts of a `Scaling`."""
        names = ("mean", "scale", "rest")[: len(parts)]
        return [self.constant(f"{name}.{part}", value) for part, value in zip(names, parts, strict=True)]

    def integers(self, *values: int) -> str:
        """An int64 vector, as shapes and indices are."""
        return self.constant(f"[{', '.join(map(str, values))}]", np.array(values, np.int64))

    def pick(self, x: str, axis: int, *indices: int) -> str:
        return self.add("Gather", x, self.integers(*indices), axis=axis)

    def slice(self, x: str, axis: int, first: int, end: int) -> str:
        return self.add("Slice", x, self.integers(first), self.integers(end), self.integers(axis))

    def reshape(self, x: str, *shape: int, name: str | None = None) -> str:
        return self.add("Reshape", x, self.integers(*shape), name=name)

    def transpose(self, x: str, *axes: int, name: str | None = None) -> str:
        return self.add("Transpose", x, perm=axes, name=name)

    def serialise(self, onnx: Any, inputs: Sequence[Port], outputs: Sequence[Port], facts: Mapping[str, Any]) -> bytes:
        size = sum(value.nbytes for value in self.constants.values())
        require(size < LARGEST, "module", f"have fewer than {LARGEST:,} bytes of weights, as an ONNX file holds",
                f"{size:,}")  # fmt: skip
        helper = onnx.helper

        def described(ports: Sequence[Port]) -> list[Any]:
            types = [helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype)) for port in ports]
            return [helper.make_tensor_value_info(p.name, kind, p.shape) for p, kind in zip(ports, types, strict=True)]

        graph = helper.make_graph(
            [
                helper.make_node(operator, sources, results, name=results[0], **attributes)
                for operator, sources, results, attributes in self.nodes
            ],
            "jax_lstm",
            described(inputs),
            described(outputs),
            [onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="jax_lstm",
            producer_version=__version__,
        )
        as_text = {key: fact if isinstance(fact, str) else json.dumps(fact, default=str) for key, fact in facts.items()}
        helper.set_model_props(model, as_text)
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()
