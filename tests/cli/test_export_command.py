"""`jax-lstm export`: the exported program takes and returns data in the units of the user's files."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from small_run import HIDDEN, WINDOW, noisy_sine, write

import jax_lstm as jl
from jax_lstm.cli import main
from jax_lstm.export import onnx_lstm
from jax_lstm.export.verify import FORMATS
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tolerances import difference

Prints = Callable[..., str]
pytestmark = pytest.mark.usefixtures("without_pictures")
IN_ONNX = pytest.mark.skipif(not (find_spec("onnx") and find_spec("onnxruntime")), reason="ONNX is not installed")
FEW = ("--hidden-size", 8, "--epochs", 1, "--batch-size", 16)


class Runs:
    """A run of each kind, trained when a test first asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder, rng = folder, np.random.default_rng(0)
        waves = [f"{1000 + 50 * np.sin(at / 4):.3f},{20 + 3 * np.cos(at / 5):.3f}" for at in range(300)]
        (folder / "wave.csv").write_text("\n".join(["p,t", *waves]) + "\n")
        (folder / "rhyme.txt").write_text("one two three four\nfive six seven eight\n" * 40)
        lines = ["sequence,label,a"]
        for name in range(40):
            lines += [f"s{name},{name % 2},{rng.normal(300 + name % 2):.4f}" for _ in range(rng.integers(3, 9))]
        (folder / "two.csv").write_text("\n".join(lines) + "\n")
        forecast = ["--csv", folder / "wave.csv", "--target", "t", "p", "--features", "p", "t"]
        forecast += ["--window", 12, "--horizon", 3]
        hourly = ["--csv", write(folder / "sine.csv", noisy_sine()), "--target", "y", "--time", "time"]
        self.options = {
            "forecast": forecast,
            "calendar": [*hourly, "--window", WINDOW, "--horizon", 3, "--quantiles", ".1,.5,.9"],
            "several": [*forecast, "--num-layers", 2, "--seeds", "0:2", "--precision", "bfloat16"],
            "x64": [*forecast, "--x64"],
            "tutorial": [*forecast, "--network", "tutorial"],
            "lm": ["text", "--text", folder / "rhyme.txt", "--steps", 10, "--tied"],
            "classify": ["labels", "--sequences", folder / "two.csv"],
        }

    def __getitem__(self, name: str) -> Path:
        directory = self.folder / name
        if not directory.exists():
            assert main([str(word) for word in ("train", *self.options[name], *FEW, "--out", directory)]) == 0
        return directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def run_file(path: Path, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    return dict(FORMATS[path.suffix[1:]].run(path.read_bytes(), inputs))


SLOW = pytest.mark.slow  # StableHLO is compiled, and each kind of run is trained first


@pytest.mark.parametrize(
    ("name", "to"),
    [
        pytest.param("trained", "onnx", marks=IN_ONNX),
        pytest.param("calendar", "onnx", marks=[IN_ONNX, SLOW]),
        pytest.param("calendar", "stablehlo", marks=SLOW),
        pytest.param("forecast", "stablehlo", marks=SLOW),
        pytest.param("several", "onnx", marks=[IN_ONNX, SLOW]),
        pytest.param("several", "stablehlo", marks=SLOW),
    ],
)
def test_forecasts_of_raw_rows(name: str, to: str, trained: Path, runs: Runs, tmp_path: Path, says: Prints) -> None:
    """The exported program forecasts what `forecast` writes, from the last rows of the file."""
    directory, file = trained if name == "trained" else runs[name], tmp_path / f"{name}.{to}"
    said = says("export", directory, "--to", to, "--out", file)
    assert "differs from the model by at most" in said
    assert "warning" not in said
    assert ("the model with the best validation loss: seed" in said) == (name == "several")
    run = open_run(directory)
    data = (
        noisy_sine()
        if name in ("trained", "calendar")
        else np.loadtxt(runs.folder / "wave.csv", delimiter=",", skiprows=1)
    )
    rows, known, targets = data[-run.config.data.window - 3 :], list(run.layout.known), len(run.target)
    if known:  # hours of a file that begins at midnight
        hours = np.arange(len(data))[-len(rows) :] * 2 * np.pi / 24
        rows = np.concatenate([rows, np.stack([np.sin(hours), np.cos(hours)], axis=1)], axis=1)
    given = {"x": rows[None, :-3].astype(np.float32)}
    given |= {"ahead": rows[None, -3:, known].astype(np.float32)} if known else {}
    found = run_file(file, given)["y"]
    best = run.forecasts(run.scaler.standardise(rows.astype("f4").astype(float)).astype("f4"), np.zeros(1, np.int32))
    pick, shape = run.scaler.pick(run.target), (3, targets, -1)
    expected = best[run.position.best].astype(float).reshape(shape)
    assert pick.columns == run.target
    apart = difference((found.reshape(shape).swapaxes(1, 2) - pick.mean) / pick.scale, expected.swapaxes(1, 2)).relative
    assert apart < (4e-2 if name == "several" else 2e-5)  # the run computes in bfloat16, the ONNX file in float32
    told, levels = json.loads((tmp_path / f"{name}.{to}.json").read_text()), max(len(run.config.levels), 1)
    features, facts = len(run.features), told["facts"]
    inputs = {"x": {"shape": ["batch", run.config.data.window, features], "type": "float32"}}
    inputs |= {"ahead": {"shape": ["batch", 3, len(known)], "type": "float32"}} if known else {}
    assert told["inputs"] == inputs
    assert told["outputs"] == {"y": {"shape": ["batch", 3 * targets * levels], "type": "float32"}}
    assert (facts["features"], facts["horizon"], facts["quantiles"]) == (list(run.features), 3, list(run.config.levels))
    assert facts["known"] == (["hour sin", "hour cos"] if known else [])


@SLOW
@pytest.mark.parametrize("to", [pytest.param("onnx", marks=IN_ONNX), "stablehlo"])
def test_labels_of_raw_sequences(to: str, runs: Runs, tmp_path: Path, says: Prints) -> None:
    said = says("export", runs["classify"], "--to", to, "--out", tmp_path / f"model.{to}")
    assert ("warning: the graph passes `lengths` to `sequence_lens`" in said) == (to == "onnx")
    run = open_run(runs["classify"])
    part = load_task(run.config, run.about).sequences.parts["val"]
    raw = (part.x * run.about["scale"] + run.about["mean"]).astype(np.float32)
    found = run_file(tmp_path / f"model.{to}", {"x": raw, "lengths": part.lengths.astype(np.int32)})["y"]
    expected = run.model()(part.x, lengths=part.lengths)
    assert difference(found, expected).relative < 1e-3  # a mean of 300 takes digits from what varies by 1


@SLOW
@pytest.mark.parametrize("to", [pytest.param("onnx", marks=IN_ONNX), "stablehlo"])
def test_text(to: str, runs: Runs, tmp_path: Path, says: Prints) -> None:
    """In two pieces, with the state of the first passed to the second."""
    says("export", runs["lm"], "--to", to, "--out", tmp_path / f"model.{to}")
    told = json.loads((tmp_path / f"model.{to}.json").read_text())
    alphabet = told["facts"]["alphabet"]["characters"]
    tokens = np.array([[alphabet.index(letter) for letter in "one two"]], np.int32)
    expected, _ = open_run(runs["lm"]).model()(tokens)
    state = {name: np.zeros((1, 1, 8), np.float32) for name in ("h_0", "c_0")}
    pieces = []
    for cut in (tokens[:, :3], tokens[:, 3:]):
        found = run_file(tmp_path / f"model.{to}", {"tokens": cut, **state})
        state = {"h_0": found["h_n"], "c_0": found["c_n"]}
        pieces.append(found["logits"])
    assert difference(np.concatenate(pieces, axis=1), expected).relative < 1e-5


def test_the_lstm_alone_for_torch(trained: Path, tmp_path: Path, says: Prints) -> None:
    torch: Any = pytest.importorskip("torch")
    says("export", trained, "--to", "torch", "--only-lstm", "--out", tmp_path / "model.pt")
    reference = torch.nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
    reference.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True), strict=True)
    x = np.random.default_rng(0).normal(size=(3, 5, HIDDEN)).astype(np.float32)
    expected, _ = open_run(trained).model().lstm(x)
    assert difference(reference(torch.tensor(x))[0].detach(), expected).relative < 1e-5


@pytest.mark.parametrize(
    "name", ["trained", *(pytest.param(name, marks=SLOW) for name in ("tutorial", "lm", "classify"))]
)
def test_whole_models_for_torch(name: str, trained: Path, runs: Runs, tmp_path: Path, says: Prints) -> None:
    """The models of torch_ref load them strictly; safetensors has the same weights."""
    torch: Any = pytest.importorskip("torch")
    from torch_ref import Classifier, LanguageModel
    from torch_ref.model import LSTMModel

    run = trained if name == "trained" else runs[name]
    model = open_run(run).model()
    size = model.fc.bias.shape[0]
    twins = {
        "tutorial": lambda: LSTMModel(2, 8, size),
        "lm": lambda: LanguageModel(size, 8, 8, 1, True),
        "classify": lambda: Classifier(1, 8, size),
    }
    says("export", run, "--to", "torch", "--out", tmp_path / "model.pt")
    says("export", run, "--to", "safetensors", "--out", tmp_path / "model.safetensors")
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    if name in twins:
        twins[name]().load_state_dict(weights, strict=True)
    same = jl.load_file(tmp_path / "model.safetensors")
    assert list(same) == list(weights)
    assert all(np.array_equal(same[key], value.numpy()) for key, value in weights.items())
    jl.load_state_dict(model, same)


@IN_ONNX
def test_what_differs_is_not_written(trained: Path, tmp_path: Path, says: Prints,
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """One output of three, as where the description cannot be written."""
    out = tmp_path / "model.onnx"
    command = ("export", trained, "--to", "onnx", "--only-lstm", "--out", out)
    form = FORMATS["onnx"]
    wrong = form._replace(
        run=lambda file, inputs: {n: a * (1.001 if n == "c_n" else 1) for n, a in form.run(file, inputs).items()}
    )
    with monkeypatch.context() as patch:
        patch.setitem(FORMATS, "onnx", wrong)
        assert "differs from the model by 1.0e-03" in says(*command, status=2)
    assert not list(tmp_path.iterdir())
    said = says(*command)
    assert "run by onnxruntime: differs from the model by at most" in said
    assert said.count("warning: the graph passes `lengths` to `sequence_lens`") == 1
    described = tmp_path / "model.onnx.json"
    told = json.loads(described.read_text())
    assert list(told["inputs"]) == ["x", "lengths", "h_0", "c_0"]
    assert list(told["outputs"]) == ["y", "h_n", "c_n"]
    out.unlink()
    described.unlink()
    described.mkdir()
    assert "cannot be written" in says(*command, status=2)
    assert not out.exists()


@IN_ONNX
@SLOW
def test_wrong_gates_do_not_hide_behind_a_large_mean(tmp_path: Path, says: Prints,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    rows = [f"{1e5 + 10 * np.sin(at / 4):.3f},{1e7 + 5 * np.cos(at / 5):.3f}" for at in range(200)]
    (tmp_path / "far.csv").write_text("\n".join(["p,q", *rows]) + "\n")
    data = ("--csv", tmp_path / "far.csv", "--target", "p", "q", "--window", 12, "--horizon", 2)
    says("train", *data, *FEW, "--network", "tutorial", "--out", tmp_path / "run")
    said = says("export", tmp_path / "run", "--to", "onnx")
    assert "warning: float32 rounds column 'q' to 0.3 of its standard deviation" in said
    monkeypatch.setattr(onnx_lstm, "IOFC", (0, 1, 3, 2))
    out = tmp_path / "run" / "p.onnx"
    assert "differs from the model" in says("export", tmp_path / "run", "--to", "onnx", "--out", out, status=2)
    assert not out.exists()


@SLOW
def test_float64(tmp_path: Path, runs: Runs, says: Prints) -> None:
    file = tmp_path / "model.stablehlo"
    said = says("export", runs["x64"], "--to", "stablehlo", "--out", file)
    assert "run by jax: differs from the model by at most" in said
    with jax.enable_x64(True):
        assert jax.export.deserialize(bytearray(file.read_bytes())).in_avals[0].dtype == np.float64
    if find_spec("onnxruntime"):
        assert "not verified: onnxruntime has no LSTM in float64" in says("export", runs["x64"], "--to", "onnx")
