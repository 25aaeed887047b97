"""Many models at once: all three ways lose alike, and one that does not is not timed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import record as records
from benchmarks.ensemble import AT_ONCE, ONE_BY_ONE, WEATHER, Setup, compared, markdown
from benchmarks.sampling import Plan
from jax_lstm.compare.contenders import InJax
from jax_lstm.data import DataConfig, load_dataset


def test_who_trains_otherwise_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = tmp_path / "wave.csv"
    wave.write_text("y\n" + "".join(f"{np.sin(at / 4):.4f}\n" for at in range(200)))
    data = DataConfig(csv=str(wave), target=("y",), window=6, horizon=3)
    setup, plan = Setup(2, 4, batch_size=16), Plan(budget=0.0, least=2, most=2, sample=0.0)
    row = compared("2 tiny", setup, plan, data)
    assert list(row.seconds) == ["torch", ONE_BY_ONE, AT_ONCE]
    assert not row.failed

    train = InJax.train
    monkeypatch.setattr(InJax, "train", lambda self, rows: train(self, rows) * 1.01)
    wrong = compared("2 off", setup, plan, data)
    assert list(wrong.seconds) == ["torch", AT_ONCE]
    assert wrong.failed[ONE_BY_ONE].startswith("losses: off by")

    record = records.begin("ensemble", "python -m benchmarks ensemble", {})
    record.rows.extend([row, wrong])
    records.write(record, tmp_path / "ensemble.json")
    assert "| 2 tiny | 2 x 16,6,1,4 |" in markdown(records.read(tmp_path / "ensemble.json", "ensemble"))


def test_the_committed_record_is_of_this_data() -> None:
    record = records.read(records.ROOT / "benchmarks" / "records" / "ensemble.json", "ensemble")
    dataset = load_dataset(WEATHER)
    assert all(f",{dataset.config.window},{dataset.input_size}," in row.shape for row in record.rows)
