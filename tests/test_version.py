"""What is released names one version."""

from pathlib import Path

from jax_lstm.version import __version__

ROOT = Path(__file__).parents[1]


def test_one_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    newest = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert newest.startswith(f"## {__version__},")
