"""Many models at once: all three ways lose alike, and one that does not is not timed."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import record as records
from benchmarks.ensemble import AT_ONCE, ONE_BY_ONE, Setup, compared, markdown
from benchmarks.sampling import Plan
from jax_lstm.compare.contenders import InJax
from jax_lstm.data import DataConfig

ROOT = Path(__file__).parents[2]
BRIEF = Plan(budget=0.0, least=2, most=2, sample=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    path = tmp_path_factory.mktemp("ensemble") / "wave.csv"
    path.write_text("y\n" + "".join(f"{np.sin(at / 4):.4f}\n" for at in range(200)))
    return DataConfig(csv=str(path), target=("y",), window=6, horizon=3)


def test_all_ways_lose_alike(data: DataConfig, tmp_path: Path) -> None:
    row = compared("3 tiny", Setup(3, 4, batch_size=16), BRIEF, data)
    assert list(row.seconds) == ["torch", ONE_BY_ONE, AT_ONCE]
    assert not row.failed
    record = records.begin("ensemble", "python -m benchmarks ensemble", {})
    record.rows.append(row)
    records.write(record, tmp_path / "ensemble.json")
    assert "| 3 tiny | 3 x 16,6,1,4 |" in markdown(records.read(tmp_path / "ensemble.json", "ensemble"))


def test_who_trains_otherwise_is_not_timed(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    train = InJax.train
    monkeypatch.setattr(InJax, "train", lambda self, rows: train(self, rows) * 1.01)
    row = compared("2 tiny", Setup(2, 4, batch_size=16), BRIEF, data)
    assert list(row.seconds) == ["torch", AT_ONCE]
    assert row.failed[ONE_BY_ONE].startswith("losses: off by")
