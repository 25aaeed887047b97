"""Imports: the layers of pyproject.toml, and what works where an optional package is missing."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from jax_lstm import MissingExtraError

ROOT = Path(__file__).parents[1]


HIDE = """
import sys

class Blind:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Blind, sys.meta_path)
"""


def run_hiding(modules: set[str], code: str) -> subprocess.CompletedProcess[str]:
    program = f"HIDDEN = {modules!r}\n{HIDE}\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_layers() -> None:
    """The contracts in pyproject.toml."""
    pytest.importorskip("importlinter")
    checked = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_without_sktime_its_adapter_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = "jax_lstm.estimators.sktime_adapter"
    monkeypatch.delitem(sys.modules, adapter, raising=False)
    monkeypatch.setitem(sys.modules, "sktime.forecasting.base", None)
    monkeypatch.setitem(sys.modules, "sktime", None)
    with pytest.raises(MissingExtraError, match="SktimeForecaster needs the package sktime: pip install sktime, or"):
        importlib.import_module(adapter)


WEIGHTS = """
import jax_lstm as jl
from flax import nnx

cell = jl.LSTMCell(2, 3, rngs=nnx.Rngs(0))
jl.save_file(cell, "FILE")
print(list(jl.load_file("FILE")) == list(jl.state_dict(cell)), jl.interop.to_keras(jl.interop.from_nnx(
    nnx.LSTMCell(2, 3, rngs=nnx.Rngs(0))))[0].shape)
"""


@pytest.mark.slow
def test_commands_and_weight_files_work_without_torch_and_matplotlib(tmp_path: Path) -> None:
    """All but the comparison with PyTorch; a note takes the place of pictures, and weights go to safetensors."""
    pytest.importorskip("safetensors")
    values = "".join(f"{(at * 7919) % 31}\n" for at in range(120))
    (tmp_path / "series.csv").write_text("a\n" + values)
    csv, out = str(tmp_path / "series.csv"), str(tmp_path / "run")
    run = ["--window", "4", "--horizon", "2", "--hidden-size", "3", "--epochs", "1", "--season", "4"]
    code = f"""
from jax_lstm.cli import main
assert main(["train", "--csv", {csv!r}, "--target", "a", *{run!r}, "--out", {out!r}]) == 0
assert main(["evaluate", {out!r}]) == 0
assert main(["forecast", {out!r}]) == 0
assert main(["tutorial", "--epochs", "10"]) == 0
assert main(["info"]) == 0
assert main(["tutorial", "--framework", "torch"]) == 2
assert main(["compare", "--out", {str(tmp_path / "compared")!r}]) == 2
{WEIGHTS}"""
    code = code.replace("FILE", str(tmp_path / "cell.safetensors"))
    done = run_hiding({"torch", "torch_ref", "matplotlib"}, code)
    assert done.returncode == 0, done.stdout + done.stderr
    errors = done.stderr.splitlines()
    install = "needs the package torch: pip install torch, or the extra `torch` of jax-lstm"
    assert errors == [f"jax-lstm: error: --framework torch {install}", f"jax-lstm: error: compare {install}"]
    assert "missing" in done.stdout
    assert done.stdout.endswith("True (2, 12)\n")
    no_pictures = "no pictures: drawing needs the package matplotlib: pip install matplotlib, or the extra `plot` of"
    assert " ".join(done.stdout.split()).count(no_pictures) == 2, "once by train and by forecast"
    assert not list((tmp_path / "run").glob("*.png"))
    assert not (tmp_path / "compared").exists()


@pytest.mark.slow
def test_import_brings_nothing_optional_and_pt_files_need_no_safetensors(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    optional = {"torch", "torch_ref", "matplotlib", "safetensors", "keras", "equinox"}
    optional |= {"jax_lstm.estimators", "jax_lstm.train"}  # which are imported when they are used
    code = f"import jax_lstm, sys; print(sorted({optional} & sys.modules.keys())){WEIGHTS}"
    done = run_hiding({"safetensors", "keras", "equinox"}, code.replace("FILE", str(tmp_path / "cell.pt")))
    assert done.stdout == "[]\nTrue (2, 12)\n", done.stderr
