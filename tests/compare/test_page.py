"""The figures in docs/compare.md are those of the committed records."""

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compare.md").read_text()
RECORDS = {"float32": "compare-weather", "float64": "compare-weather-x64"}
KINDS = {"every gradient": r"gradient of .*", "weights after 50 Adam steps": r".* after 50 steps"}


def record(dtype: str) -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / "records" / f"{RECORDS[dtype]}.json").read_text())


@pytest.mark.parametrize(
    "kind", ["outputs", "every gradient", "losses of 50 Adam steps", "weights after 50 Adam steps"]
)
def test_agreement(kind: str) -> None:
    cells = [kind]
    for dtype in RECORDS:
        checks = [check for check in record(dtype)["agreement"] if re.fullmatch(KINDS.get(kind, kind), check["name"])]
        assert all(check["passed"] for check in checks)
        cells += [f"{max(check['relative'] for check in checks):.1e}", f"{checks[0]['tolerance']:.0e}"]
    assert f"| {' | '.join(cells)} |" in PAGE


@pytest.mark.parametrize("dtype", RECORDS)
@pytest.mark.parametrize("work", ["training", "inference"])
def test_throughput(work: str, dtype: str) -> None:
    timed = record(dtype)[work]
    speeds = [f"{timed['items'] / median(timed['seconds'][name]):,.0f}" for name in ("JAX", "PyTorch")]
    cells = [f"{work}, {dtype}", *speeds, f"{timed['jax_speed_relative_to_pytorch']:.2f}"]
    assert f"| {' | '.join(cells)} | {timed['compile_seconds']:.2f} s |" in PAGE


def test_quality() -> None:
    for name, scores in record("float32")["scores"].items():
        mse, mae = f"{scores['mse']:.4f}".lstrip("0"), f"{scores['mae']:.3f}".lstrip("0")
        assert re.search(rf"{re.escape(mse)}\s+and\s+{re.escape(mae)}", PAGE), name
