"""The site builds without a warning, describes every public name, needs no network, and its links lead somewhere."""

import importlib
import posixpath
import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

import jax_lstm as jl

ROOT = Path(__file__).parents[1]
MODULES = ("export", "functional", "interop", "kernels")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("sphinx", "furo", "myst_nb", "sphinx_copybutton"):
        pytest.importorskip(package)
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def pages(site: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in site.rglob("*.html")}


def test_every_public_name_is_described(site: Path) -> None:
    loads = importlib.import_module("sphinx.util.inventory").InventoryFile.loads
    inventory = loads((site / "objects.inv").read_bytes(), uri="")
    described = {name for kind in inventory.data.values() for name in kind}
    public = {f"jax_lstm.{name}" for name in jl.__all__ if name not in MODULES and name != "__version__"}
    public |= {f"jax_lstm.{module}.{name}" for module in MODULES for name in getattr(jl, module).__all__}
    assert public <= described, sorted(public - described)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="(?:\w+:)?//|<link (?!rel="canonical")[^>]*href="https?:')
    for path, text in pages(site).items():
        assert not loaded.search(text), path
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?https?:|@import", path.read_text()), path


def test_links_inside_lead_somewhere(site: Path) -> None:
    texts = pages(site)
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    broken = []
    for path, text in texts.items():
        for link in re.findall(r'<a [^>]*href="([^"]+)"', text):
            file, _, anchor = link.partition("#")
            if ":" in file:
                continue
            target = Path(posixpath.normpath(path.parent / unquote(file))) if file else path
            if not target.exists() or (anchor and target in ids and unquote(anchor) not in ids[target] | {""}):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken, broken


def test_search_finds_words_of_every_page(site: Path) -> None:
    index = (site / "searchindex.js").read_text()
    names = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    assert all(f'"{name}"' in index for name in names)


def test_diagrams_are_drawn_from_their_sources() -> None:
    make = runpy.run_path(str(ROOT / "docs" / "make_diagrams.py"))
    sources = sorted(make["FOLDER"].glob("*.dot"))
    assert len(sources) >= 4
    for source in sources:
        assert f"<!-- {source.name} {make['digest'](source)} -->" in source.with_suffix(".svg").read_text(), source
