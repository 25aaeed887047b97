"""Exported programs are run by other tools, ONNX Runtime and JAX alone, and held against PyTorch."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jax_lstm as jl
from jax_lstm.export import Scaling, to_onnx, to_stablehlo
from jax_lstm.tolerances import difference

torch: Any = pytest.importorskip("torch")
onnxruntime: Any = pytest.importorskip("onnxruntime")
onnx: Any = pytest.importorskip("onnx")

from torch_ref import LanguageModel as TorchLanguageModel  # noqa: E402

Arrays = dict[str, np.ndarray]
CLOSE = 1e-5
SHAPES = [(1, 1), (3, 8)]  # batch and time of the same file


def run_onnx(file: bytes, inputs: Arrays) -> Arrays:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return dict(zip((port.name for port in session.get_outputs()), session.run(None, inputs), strict=True))


def run_stablehlo(file: bytes, inputs: Arrays) -> Arrays:
    found: Any = jax.export.deserialize(bytearray(file)).call(inputs)
    return {name: np.asarray(array) for name, array in found.items()}


class Tool(NamedTuple):
    make: Callable[..., bytes]
    run: Callable[[bytes, Arrays], Arrays]


TOOLS = {"onnx": Tool(to_onnx, run_onnx), "stablehlo": Tool(to_stablehlo, run_stablehlo)}


class Case(NamedTuple):
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batch_first: bool = True
    lengths: bool = False
    state: bool = False

    def build(self) -> jl.LSTM:
        return jl.LSTM(3, 5, self.layers, self.bias, self.batch_first, 0.0, self.bidirectional, rngs=nnx.Rngs(0))


CASES = [Case(*each) for each in product((1, 2), (False, True), (True,), (True,), (False, True), (False, True))]
CASES += [Case(3, True, False, False, True, True), Case(1, False, False, False)]


def name_of(case: Case) -> str:
    flags = [name for name in case._fields[1:] if getattr(case, name)]
    return "-".join([f"{case.layers} layers", *flags])


def drawn(module: jl.LSTM, batch: int, steps: int, lengths: bool, state: bool) -> Arrays:
    rng, sizes = np.random.default_rng(1), module.sizes
    shape = (batch, steps) if module.batch_first else (steps, batch)
    given: Arrays = {"x": rng.normal(size=(*shape, sizes.input_size)).astype(np.float32)}
    if lengths:
        given["lengths"] = rng.permutation(np.linspace(1, steps, batch).round().astype(np.int32))
    if state:
        rows = sizes.num_layers * sizes.num_directions
        given |= {name: rng.normal(size=(rows, batch, n)).astype(np.float32)
                  for name, n in (("h_0", sizes.output_size), ("c_0", sizes.hidden_size))}  # fmt: skip
    return given


def by_torch(module: jl.LSTM, given: Arrays) -> Arrays:
    """In float64."""
    sizes = module.sizes
    reference = torch.nn.LSTM(
        sizes.input_size, sizes.hidden_size, sizes.num_layers, sizes.bias, module.batch_first, 0.0,
        sizes.bidirectional, sizes.proj_size, dtype=torch.float64,
    )  # fmt: skip
    reference.load_state_dict({name: torch.tensor(array).double() for name, array in jl.state_dict(module).items()})
    x = torch.tensor(given["x"]).double()
    state = tuple(torch.tensor(given[name]).double() for name in ("h_0", "c_0")) if "h_0" in given else None
    with torch.no_grad():
        if "lengths" in given:
            packed = torch.nn.utils.rnn.pack_padded_sequence(
                x, torch.tensor(given["lengths"]), module.batch_first, enforce_sorted=False
            )
            ys, (h, c) = reference(packed, state)
            steps = x.shape[1 if module.batch_first else 0]
            ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, module.batch_first, total_length=steps)
        else:
            ys, (h, c) = reference(x, state)
    return {"y": ys.numpy(), "h_n": h.numpy(), "c_n": c.numpy()}


def assert_close(found: Arrays, expected: Mapping[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert difference(found[name], array).relative <= CLOSE, name


@pytest.mark.parametrize(
    ("tool", "case"),
    [("onnx", case) for case in CASES] + [("stablehlo", case) for case in (*CASES[::5], *CASES[-2:])],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_an_lstm(case: Case, tool: str) -> None:
    module = case.build()
    file = TOOLS[tool].make(module, lengths=case.lengths, state=case.state)
    for batch, steps in SHAPES:
        given = drawn(module, batch, steps, case.lengths, case.state)
        assert_close(TOOLS[tool].run(file, given), by_torch(module, given))


def test_it_is_one_operator_a_layer() -> None:
    file = to_onnx(Case(3, True).build(), lengths=True, state=True)
    kinds = [node.op_type for node in onnx.load_from_string(file).graph.node]
    assert kinds.count("LSTM") == 3
    assert not {"Loop", "Scan", "If"} & set(kinds)


SCALED = {"standardise": Scaling(np.array([10.0, -2.0, 0.5]), np.array([3.0, 0.1, 1.0])),
          "restore": Scaling(np.array([100.0, -50.0]), np.array([7.0, 20.0]))}  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("layers", "both", "lengths"), [(2, False, False), (1, True, True)])
def test_a_model(layers: int, both: bool, lengths: bool, scaled: bool, tool: str) -> None:
    model = jl.LSTMModel(3, 5, 2, layers, bidirectional=both, rngs=nnx.Rngs(0))
    scalings = SCALED if scaled else {}
    file = TOOLS[tool].make(model, lengths=lengths, **scalings)
    for batch, steps in SHAPES:
        given = drawn(model.lstm, batch, steps, lengths, False)
        x = given["x"].astype(np.float64)
        given["x"] = (x * scalings["standardise"].scale + scalings["standardise"].mean if scaled else x).astype("f4")
        ys = by_torch(model.lstm, {**given, "x": x})["y"]
        last = ys[np.arange(batch), (given["lengths"] if lengths else np.full(batch, steps)) - 1]
        y = last @ np.float64(model.fc.weight[...]).T + np.float64(model.fc.bias[...])
        y = y * scalings["restore"].scale + scalings["restore"].mean if scaled else y
        assert_close(TOOLS[tool].run(file, given), {"y": y})


@pytest.mark.parametrize("tool", TOOLS)
def test_means_that_float32_cannot_hold(tool: str) -> None:
    """Of 1e5 + 0.3 it keeps 1e5 + 0.297; the rest is taken off too."""
    model = jl.LSTMModel(1, 5, 1, rngs=nnx.Rngs(0))
    scaling = Scaling(np.array([1e5 + 0.3]), np.array([0.5]))
    raw = (scaling.mean + scaling.scale * np.random.default_rng(0).normal(size=(2, 9, 1))).astype(np.float32)
    expected = model(((raw.astype(float) - scaling.mean) / scaling.scale).astype(np.float32))
    assert_close(TOOLS[tool].run(TOOLS[tool].make(model, standardise=scaling), {"x": raw}), {"y": expected})


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("state", [False, True])
def test_a_language_model(state: bool, tied: bool, tool: str) -> None:
    model = jl.LanguageModel(7, 5, 2, embedding_size=5, tied=tied, dropout=0.5, rngs=nnx.Rngs(0))
    reference = TorchLanguageModel(7, 5, 5, 2, tied)
    weights = {name: torch.tensor(array) for name, array in jl.state_dict(model).items()}
    reference.load_state_dict(weights | ({"fc.weight": weights["embedding.weight"]} if tied else {}))
    reference = reference.double()
    file = TOOLS[tool].make(model, state=state)
    for batch, steps in SHAPES:
        tokens = np.random.default_rng(0).integers(0, 7, (batch, steps)).astype(np.int32)
        given = drawn(model.lstm, batch, steps, False, state) | {"tokens": tokens}
        del given["x"]
        before = [given.get(name, np.zeros((2, batch, 5))) for name in ("h_0", "c_0")]
        with torch.no_grad():
            logits, last = reference(torch.tensor(tokens), tuple(torch.tensor(part).double() for part in before))
        expected: Arrays = dict(
            zip(("logits", "h_n", "c_n"), (logits.numpy(), *(part.numpy() for part in last)), strict=True)
        )
        assert_close(TOOLS[tool].run(file, given), expected)


def test_projections_go_out_as_stablehlo() -> None:
    module = jl.LSTM(3, 5, 2, proj_size=2, bidirectional=True, rngs=nnx.Rngs(0))
    given = drawn(module, 2, 4, True, True)
    assert_close(run_stablehlo(to_stablehlo(module, lengths=True, state=True), given), by_torch(module, given))


def test_peepholes_are_onnx() -> None:
    """Against the kernels, which other tests hold to an oracle: PyTorch has none."""
    module = jl.LSTM(3, 5, bidirectional=True, variant=jl.Variant(peepholes=True), rngs=nnx.Rngs(0))
    for name in ("weight_ch_l0", "weight_ch_l0_reverse"):
        getattr(module, name).set_value(jax.random.normal(jax.random.key(1), (15,)))
    given = drawn(module, 2, 4, False, True)
    ys, last = module(given["x"], (given["h_0"], given["c_0"]))
    assert_close(run_onnx(to_onnx(module, state=True), given), {"y": ys, "h_n": last.h, "c_n": last.c})


def test_float64() -> None:
    """ONNX Runtime has no LSTM of float64; the standard has, and its own evaluator computes it."""
    with jax.enable_x64(True):
        module = jl.LSTM(3, 5, param_dtype="float64", rngs=nnx.Rngs(0))
        given = {"x": np.random.default_rng(0).normal(size=(4, 2, 3))}
        files = {name: tool.make(module) for name, tool in TOOLS.items()}
        expected = by_torch(module, given)
    found = pytest.importorskip("onnx.reference").ReferenceEvaluator(onnx.load_from_string(files["onnx"]))
    for array, name in zip(found.run(None, given), expected, strict=True):
        assert difference(array, expected[name]).relative < 1e-13
    with jax.enable_x64(True):
        for name, array in run_stablehlo(files["stablehlo"], given).items():
            assert difference(array, expected[name]).relative < 1e-13


def test_a_model_that_computes_in_bfloat16() -> None:
    """ONNX computes in the type of the parameters; StableHLO as the module does."""
    model = jl.LSTMModel(3, 5, 2, dtype="bfloat16", rngs=nnx.Rngs(0))
    full = jl.LSTMModel(3, 5, 2, rngs=nnx.Rngs(0))
    given = drawn(model.lstm, 2, 6, False, False)
    assert_close(run_onnx(to_onnx(model), given), {"y": full(given["x"])})
    found = run_stablehlo(to_stablehlo(model), given)["y"]
    assert found.dtype == np.float32
    assert 1e-4 < difference(found, full(given["x"])).relative < 2e-2


def test_states_of_a_16_bit_module_are_float32() -> None:
    module = jl.LSTM(3, 5, param_dtype="bfloat16", rngs=nnx.Rngs(0))
    state = tuple(np.random.default_rng(0).normal(size=(2, 1, 2, 5)).astype(np.float32))
    x = np.ones((4, 2, 3), jnp.bfloat16)
    found = run_stablehlo(to_stablehlo(module, state=True), {"x": x, "h_0": state[0], "c_0": state[1]})
    ys, last = module(x, state)
    assert (found["y"].dtype, found["c_n"].dtype) == (jnp.bfloat16, np.float32)
    assert difference(found["c_n"], last.c).relative < 1e-5
    assert difference(found["y"].astype(float), np.asarray(ys, float)).relative < 1e-2


ALONE = """
import json, sys
sys.modules["jax_lstm"] = None  # importing it fails
import jax, numpy as np
exported = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
y = exported.call(dict(np.load(sys.argv[2])))["y"]
print(json.dumps({"y": np.asarray(y).tolist(), "platforms": exported.platforms}))
"""


def test_stablehlo_runs_in_a_process_without_this_package(tmp_path: Path) -> None:
    module = Case(2, True).build()
    (tmp_path / "model").write_bytes(to_stablehlo(module))
    given = drawn(module, 4, 6, False, False)
    np.savez(tmp_path / "inputs.npz", **given)  # type: ignore[arg-type]
    command = [sys.executable, "-c", ALONE, str(tmp_path / "model"), str(tmp_path / "inputs.npz")]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert told["platforms"] == ["cpu", "cuda", "tpu"]
    assert difference(told["y"], by_torch(module, given)["y"]).relative <= CLOSE


def test_the_module_stays_as_it_is() -> None:
    model = jl.LanguageModel(7, 5, dropout=0.5, dtype="bfloat16", rngs=nnx.Rngs(0))
    model.train()
    for tool in TOOLS.values():
        tool.make(model)
    assert (model.lstm.backend, model.lstm.dtype, model.lstm.deterministic) == ("auto", "bfloat16", False)
    assert not model.drop.deterministic  # type: ignore[union-attr]


def test_facts_are_the_metadata() -> None:
    file = to_onnx(Case().build(), facts={"task": "none", "columns": ["a", "b"]})
    model = onnx.load_from_string(file)
    assert {prop.key: prop.value for prop in model.metadata_props} == {"task": "none", "columns": '["a", "b"]'}
    assert (model.producer_name, model.producer_version) == ("jax_lstm", jl.__version__)
