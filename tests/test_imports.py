"""What imports what: layers point down, and nothing but the comparison needs torch."""

import subprocess
import sys
from pathlib import Path

import pytest

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


def test_import_brings_nothing_optional() -> None:
    optional = {"torch", "torch_ref", "matplotlib", "orbax", "safetensors", "keras", "equinox"}
    code = f"import jax_lstm, sys; print(sorted({optional} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n" or found.stdout == "['orbax']\n"  # Flax may bring Orbax itself


def test_everything_but_the_comparison_works_without_torch(tmp_path: Path) -> None:
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
"""
    done = run_hiding({"torch", "torch_ref"}, code)
    assert done.returncode == 0, done.stdout + done.stderr
    errors = done.stderr.splitlines()
    install = "needs torch: pip install 'jax-lstm[torch]' (No module named 'torch')"
    assert errors == [f"jax-lstm: error: --framework torch {install}", f"jax-lstm: error: compare {install}"]
    assert "missing" in done.stdout
    assert not (tmp_path / "compared").exists()


def test_without_matplotlib_there_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "series.csv").write_text("a\n" + "".join(f"{at % 9}\n" for at in range(120)))
    code = f"""
from jax_lstm.cli import main
assert main(["train", "--csv", {str(tmp_path / "series.csv")!r}, "--target", "a", "--window", "4", "--horizon", "2",
             "--hidden-size", "3", "--epochs", "1", "--season", "4", "--out", {str(tmp_path / "run")!r}]) == 0
"""
    done = run_hiding({"matplotlib"}, code)
    assert done.returncode == 0, done.stderr
    assert "pip install 'jax-lstm[plot]'" in " ".join(done.stdout.split())
    assert not list((tmp_path / "run").glob("*.png"))


def test_weights_go_to_safetensors_without_torch_and_to_pt_without_safetensors(tmp_path: Path) -> None:
    code = """
import jax_lstm as jl
from flax import nnx

cell = jl.LSTMCell(2, 3, rngs=nnx.Rngs(0))
jl.save_file(cell, {path!r})
print(list(jl.load_file({path!r})) == list(jl.state_dict(cell)), jl.interop.to_keras(jl.interop.from_nnx(
    nnx.LSTMCell(2, 3, rngs=nnx.Rngs(0))))[0].shape)
"""
    for hidden, needed, suffix in (("torch", "safetensors", ".safetensors"), ("safetensors", "torch", ".pt")):
        pytest.importorskip(needed)
        done = run_hiding({hidden, "keras", "equinox"}, code.format(path=str(tmp_path / f"cell{suffix}")))
        assert done.stdout == "True (2, 12)\n", done.stderr
