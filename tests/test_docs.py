"""The code in README, docs/ and notebooks runs, all of a page in one namespace; docs/ with the slow tests."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if "```python" in path.read_text()
]
OPTIONAL = {"torch", "keras", "equinox", "safetensors", "onnxruntime", "sktime"}
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.name, marks=[] if page.name == "README.md" else [pytest.mark.slow]) for page in PAGES],
)
def test_code_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        run(code, page, names)
    if page.name == "README.md":
        assert names["losses"][-1] < names["losses"][0] / 2
        assert names["ys"].shape == (5, 32, 20)
        assert names["state"].h.shape == (2, 32, 20)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("matplotlib").use("agg")
    names: dict[str, Any] = {}
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] for cell in cells if not cell["source"][-1].endswith(";")), "a cell was not run"
    for cell in cells:
        run("".join(cell["source"]), notebook, names)


def run(code: str, source: Path, names: dict[str, Any]) -> None:
    for package in OPTIONAL & set(re.findall(r"\w+", code)):
        pytest.importorskip(package)
    exec(compile(code, str(source), "exec"), names)
