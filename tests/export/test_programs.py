"""Exported programs, run by ONNX Runtime and by JAX without this package, agree with PyTorch."""

import json
import subprocess
import sys
import warnings
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn
from flax import nnx

import jax_lstm as jl
from jax_lstm.export import Scaling, to_onnx, to_stablehlo
from jax_lstm.export.verify import FORMATS
from jax_lstm.models.forecast_model import Layout
from jax_lstm.tolerances import difference

torch: Any = pytest.importorskip("torch")
onnxruntime: Any = pytest.importorskip("onnxruntime")
onnx: Any = pytest.importorskip("onnx")

from torch_ref import LanguageModel as TorchLanguageModel  # noqa: E402

Arrays = dict[str, np.ndarray]
CLOSE = 1e-5
SHAPES = [(3, 8), (1, 1)]  # batch and time, of one file


# Runtimes of ONNX that ignore what the graph has are warned of; the tests run ONNX Runtime, which does not.
pytestmark = pytest.mark.filterwarnings("ignore:the graph:UserWarning")


def run(to: str, file: bytes, inputs: Arrays) -> Arrays:
    return dict(FORMATS[to].run(file, inputs))


def export(to: str, module: nnx.Module, **options: Any) -> bytes:
    return FORMATS[to].export(module, **options)


def make(kind: Any, *arguments: Any, **options: Any) -> Any:
    return drawn(lambda: kind(*arguments, **options, rngs=nnx.Rngs(0)))


class Case(NamedTuple):
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batch_first: bool = True
    lengths: bool = False
    state: bool = False

    def build(self) -> jl.LSTM:
        return make(jl.LSTM, 3, 5, self.layers, self.bias, self.batch_first, 0.0, self.bidirectional)


CASES = [Case(*each) for each in product((1, 2), (False, True), (True,), (True,), (False, True), (False, True))]
CASES += [Case(3, True, False, False, True, True), Case(1, False, False, False)]


def name_of(case: Case) -> str:
    flags = [name for name in case._fields[1:] if getattr(case, name)]
    return "-".join([f"{case.layers} layers", *flags])


def inputs_for(module: jl.LSTM, batch: int, steps: int, lengths: bool, state: bool) -> Arrays:
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
    """The outputs of `torch.nn.LSTM` in float64."""
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


def slow(*values: Any) -> Any:
    """Parameters of a slow test: a StableHLO artifact is compiled for each shape, for a second or so."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("to", "case"),
    [("onnx", case) for case in CASES] + [slow("stablehlo", case) for case in (*CASES[::5], *CASES[-2:])],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_an_lstm(case: Case, to: str) -> None:
    module = case.build()
    file = export(to, module, lengths=case.lengths, state=case.state)
    for batch, steps in SHAPES:
        given = inputs_for(module, batch, steps, case.lengths, case.state)
        assert_close(run(to, file, given), by_torch(module, given))


SCALED: Any = {"standardise": Scaling(np.array([10.0, -2.0, 0.5]), np.array([3.0, 0.1, 1.0])),
          "restore": Scaling(np.array([100.0, -50.0]), np.array([7.0, 20.0]))}  # fmt: skip


def test_the_graph() -> None:
    """One operator a layer, no constant that is not used, and facts as metadata."""
    module = make(jl.LSTMModel, 3, 5, 2, 3, bidirectional=True)
    model = onnx.load_from_string(
        to_onnx(module, lengths=True, facts={"task": "none", "columns": ["a", "b"]}, **SCALED)
    )
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("LSTM") == 3
    assert not {"Loop", "Scan", "If"} & set(kinds)
    assert_constants_are_used(model)
    assert {prop.key: prop.value for prop in model.metadata_props} == {"task": "none", "columns": '["a", "b"]'}
    assert (model.producer_name, model.producer_version) == ("jax_lstm", jl.__version__)


def assert_constants_are_used(model: Any) -> None:
    """Runtimes complain of those that are not."""
    assert {each.name for each in model.graph.initializer} <= {name for node in model.graph.node for name in node.input}


def test_the_graph_of_a_forecaster() -> None:
    """One operator a layer to read and one to decode, no loop."""
    model = onnx.load_from_string(to_onnx(make(jl.models.ForecastModel, COVARIATES, 4, 2, segment=3)))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("LSTM") == 4
    assert not {"Loop", "Scan", "If"} & set(kinds)
    assert_constants_are_used(model)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(
    ("to", "layers", "both", "lengths"),
    [
        ("onnx", 2, False, False),
        ("onnx", 1, True, True),
        slow("stablehlo", 2, False, False),
        slow("stablehlo", 1, True, True),
    ],
)
def test_a_model(to: str, layers: int, both: bool, lengths: bool, scaled: bool) -> None:
    model = make(jl.LSTMModel, 3, 5, 2, layers, bidirectional=both)
    scalings = SCALED if scaled else {}
    file = export(to, model, lengths=lengths, **scalings)
    for batch, steps in SHAPES:
        given = inputs_for(model.lstm, batch, steps, lengths, False)
        x = given["x"].astype(np.float64)
        given["x"] = (x * scalings["standardise"].scale + scalings["standardise"].mean if scaled else x).astype("f4")
        ys = by_torch(model.lstm, {**given, "x": x})["y"]
        last = ys[np.arange(batch), (given["lengths"] if lengths else np.full(batch, steps)) - 1]
        y = last @ np.float64(model.fc.weight[...]).T + np.float64(model.fc.bias[...])
        y = y * scalings["restore"].scale + scalings["restore"].mean if scaled else y
        assert_close(run(to, file, given), {"y": y})


COVARIATES = Layout(8, 5, 5, target=(3, 1), known=(0, 4), static=(2,), calendar=(4,))
SEVERAL, ALONE_IN_FILE = Layout(8, 5, 3, target=(2, 0)), Layout(8, 5, 1)


@pytest.mark.parametrize(
    ("to", "layout", "options"),
    [
        slow("onnx", ALONE_IN_FILE, {}),
        slow("onnx", SEVERAL, {"normalise": "mean", "quantiles": 3, "lags": 2}),
        ("onnx", SEVERAL, {"decode": "linear", "bidirectional": True, "num_layers": 2, "bypass": False}),
        ("onnx", COVARIATES, {"num_layers": 2, "lags": 2}),
        ("onnx", COVARIATES, {"channels": "joint", "normalise": "mean", "quantiles": 3, "lags": 0}),
        slow("onnx", COVARIATES, {"channels": "joint", "decode": "linear", "normalise": "none"}),
        ("onnx", COVARIATES, {"decode": "linear", "quantiles": 2}),
        slow("stablehlo", ALONE_IN_FILE, {}),
        slow("stablehlo", COVARIATES, {"lags": 2, "quantiles": 3, "normalise": "mean"}),
        slow("stablehlo", COVARIATES, {"channels": "joint", "decode": "linear", "bidirectional": True}),
    ],
)
def test_a_forecaster(to: str, layout: Layout, options: dict[str, Any]) -> None:
    """Against the model, with raw values of all columns, also of those that are known ahead."""
    model = make(jl.models.ForecastModel, layout, 4, segment=3, **options)
    columns, outputs = np.arange(layout.features), np.arange(layout.horizon * len(layout.target))
    standardise, restore = Scaling(columns - 2.0, columns + 0.5), Scaling(outputs + 1.0, outputs + 2.0)
    file = export(to, model, standardise=standardise, restore=restore)
    rng, known = np.random.default_rng(0), list(layout.known)
    x = rng.normal(size=(3, layout.window, layout.features)).astype(np.float32)
    ahead = rng.normal(size=(3, layout.horizon, len(known))).astype(np.float32)
    given = {"x": x * standardise.scale + standardise.mean}
    given |= {"ahead": ahead * standardise.scale[known] + standardise.mean[known]} if known else {}
    y = np.asarray(nnx.jit(lambda model, *inputs: model(*inputs))(model, x, ahead), float).reshape(3, len(outputs), -1)
    expected = (y * restore.scale[:, None] + restore.mean[:, None]).reshape(3, -1)
    for batch in (3, 1):
        found = run(to, file, {name: array[:batch].astype(np.float32) for name, array in given.items()})
        assert_close(found, {"y": expected[:batch]})


@pytest.mark.parametrize("to", ["onnx", slow("stablehlo")])
def test_means_that_float32_cannot_represent(to: str) -> None:
    """float32 rounds 1e5 + 0.3 to 1e5 + 0.297; the difference is subtracted too."""
    model = make(jl.LSTMModel, 1, 5, 1)
    scaling = Scaling(np.array([1e5 + 0.3]), np.array([0.5]))
    raw = (scaling.mean + scaling.scale * np.random.default_rng(0).normal(size=(2, 9, 1))).astype(np.float32)
    expected = model(((raw.astype(float) - scaling.mean) / scaling.scale).astype(np.float32))
    assert_close(run(to, export(to, model, standardise=scaling), {"x": raw}), {"y": expected})


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("to", "state"), [("onnx", False), ("onnx", True), slow("stablehlo", False), slow("stablehlo", True)]
)
def test_a_language_model(to: str, state: bool, tied: bool) -> None:
    model = make(jl.LanguageModel, 7, 5, 2, embedding_size=5, tied=tied, dropout=0.5)
    reference = TorchLanguageModel(7, 5, 5, 2, tied)
    weights = {name: torch.tensor(array) for name, array in jl.state_dict(model).items()}
    reference.load_state_dict(weights)
    reference = reference.double()
    file = export(to, model, state=state)
    for batch, steps in SHAPES:
        tokens = np.random.default_rng(0).integers(0, 7, (batch, steps)).astype(np.int32)
        given = inputs_for(model.lstm, batch, steps, False, state) | {"tokens": tokens}
        del given["x"]
        before = [given.get(name, np.zeros((2, batch, 5))) for name in ("h_0", "c_0")]
        with torch.no_grad():
            logits, last = reference(torch.tensor(tokens), tuple(torch.tensor(part).double() for part in before))
        expected: Arrays = dict(
            zip(("logits", "h_n", "c_n"), (logits.numpy(), *(part.numpy() for part in last)), strict=True)
        )
        assert_close(run(to, file, given), expected)


@pytest.mark.slow
def test_projections_in_stablehlo() -> None:
    module = make(jl.LSTM, 3, 5, 2, proj_size=2, bidirectional=True)
    given = inputs_for(module, 2, 4, True, True)
    assert_close(run("stablehlo", to_stablehlo(module, lengths=True, state=True), given), by_torch(module, given))


def test_peepholes_in_onnx() -> None:
    """Against the module, since PyTorch has none."""
    module = make(jl.LSTM, 3, 5, bidirectional=True, variant=jl.Variant(peepholes=True))
    given = inputs_for(module, 2, 4, False, True)
    ys, last = module(given["x"], (given["h_0"], given["c_0"]))
    assert_close(run("onnx", to_onnx(module, state=True), given), {"y": ys, "h_n": last.h, "c_n": last.c})


@pytest.mark.slow
@pytest.mark.parametrize("to", FORMATS)
def test_float64(to: str) -> None:
    """ONNX Runtime has no LSTM in float64, the reference evaluator of ONNX has."""
    with jax.enable_x64(True):
        module = make(jl.LSTM, 3, 5, param_dtype="float64")
        given = {"x": np.random.default_rng(0).normal(size=(4, 2, 3))}
        file = export(to, module)
        expected = by_torch(module, given)
        if to == "stablehlo":
            found = run(to, file, given)
        else:
            found = dict(zip(expected, evaluator(file).run(None, given), strict=True))
    for name, array in expected.items():
        assert difference(found[name], array).relative < 1e-13


def evaluator(file: bytes) -> Any:
    return pytest.importorskip("onnx.reference").ReferenceEvaluator(onnx.load_from_string(file))


def test_the_reference_evaluator_ignores_lengths() -> None:
    """As docs/export.md says; it computes every row to the end of the padding."""
    module = Case(lengths=True).build()
    given = inputs_for(module, 3, 8, True, False)
    found = evaluator(to_onnx(module, lengths=True)).run(None, given)[0]
    assert difference(found, by_torch(module, {"x": given["x"]})["y"]).relative <= CLOSE
    assert difference(found, by_torch(module, given)["y"]).relative > 0.1


@pytest.mark.parametrize(
    ("variant", "lengths", "message"),
    [
        (jl.Variant(), True, "the graph passes `lengths` to `sequence_lens`, which ONNX Runtime honours, but OpenVINO"),
        (jl.Variant(peepholes=True), False, "the graph has peepholes, which OpenVINO drops silently"),
        (jl.Variant(), False, ""),
    ],
)
@pytest.mark.filterwarnings("default:the graph:UserWarning")
def test_warnings_of_what_runtimes_ignore(variant: jl.Variant, lengths: bool, message: str) -> None:
    module = make(jl.LSTM, 3, 5, variant=variant)
    with warnings.catch_warnings(record=True, action="always") as caught:
        to_onnx(module, lengths=lengths)
    assert [str(warning.message)[: len(message)] for warning in caught] == [message] * bool(message)
    assert all(warning.filename == __file__ for warning in caught)


@pytest.mark.parametrize("to", ["onnx", slow("stablehlo")])
def test_a_model_that_computes_in_bfloat16(to: str) -> None:
    """ONNX computes in the type of the parameters; StableHLO as the module does."""
    model = make(jl.LSTMModel, 3, 5, 2, dtype="bfloat16")
    full = make(jl.LSTMModel, 3, 5, 2)
    given = inputs_for(model.lstm, 2, 6, False, False)
    found = run(to, export(to, model), given)["y"]
    assert found.dtype == np.float32
    apart = difference(found, full(given["x"])).relative
    assert apart <= CLOSE if to == "onnx" else 1e-4 < apart < 2e-2


@pytest.mark.slow
def test_states_of_a_16_bit_module_are_float32() -> None:
    module = make(jl.LSTM, 3, 5, param_dtype="bfloat16")
    state = tuple(np.random.default_rng(0).normal(size=(2, 1, 2, 5)).astype(np.float32))
    x = np.ones((4, 2, 3), jnp.bfloat16)
    found = run("stablehlo", to_stablehlo(module, state=True), {"x": x, "h_0": state[0], "c_0": state[1]})
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


@pytest.mark.slow
def test_stablehlo_runs_in_a_process_without_this_package(tmp_path: Path) -> None:
    module = Case(2, True).build()
    (tmp_path / "model").write_bytes(to_stablehlo(module, lengths=True, state=True))
    given = inputs_for(module, 4, 6, True, True)
    np.savez(tmp_path / "inputs.npz", **given)  # type: ignore[arg-type]
    command = [sys.executable, "-c", ALONE, str(tmp_path / "model"), str(tmp_path / "inputs.npz")]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert told["platforms"] == ["cpu", "cuda", "tpu"]
    assert difference(told["y"], by_torch(module, given)["y"]).relative <= CLOSE


def test_the_module_is_not_changed() -> None:
    model = make(jl.LanguageModel, 7, 5, dropout=0.5, dtype="bfloat16")
    model.train()
    for to in FORMATS:
        export(to, model)
    assert (model.lstm.backend, model.lstm.dtype, model.lstm.deterministic) == ("auto", "bfloat16", False)
    assert not model.drop.deterministic  # type: ignore[union-attr]
