"""`python -m benchmarks tasks` in small: the command of a user is run, recorded, shown and not run twice."""

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import record as records
from benchmarks import tasks
from benchmarks.tasks import SETTINGS, SHAKESPEARE, TEXT, VOWELS, Row, Tasks, markdown
from jax_lstm.checks import InputError

SMALL = {
    SHAKESPEARE: f"text --text {TEXT} --hidden-size 8 --steps 10 --batch-size 4 --epochs 2",
    "weather, float32": "--hidden-size 4 --epochs 1 --seeds 0:2 --batch-size 512 --precision float32",
    "weather, bfloat16": "--hidden-size 4 --epochs 1 --seeds 0:2 --batch-size 512 --precision bfloat16",
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("one two three four\nfive six seven eight\n" * 60)
    monkeypatch.setenv("TINYSHAKESPEARE", str(tmp_path / "text.txt"))
    monkeypatch.setattr(tasks, "SETTINGS", SMALL)
    return tmp_path


def make(path: Path, **options: object) -> records.Record:
    assert Tasks(**options).make("python -m benchmarks tasks", path, Console(quiet=True)) == 0  # type: ignore[arg-type]
    return records.read(path, "tasks", Row)


def test_settings_are_run_and_not_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make(small / "tasks.json")
    assert [row.setting for row in record.rows] == list(SMALL)
    assert all(row.seconds > 0 and len(row.losses) == int(row.options.split("--epochs ")[1][0]) for row in record.rows)
    text = markdown(record)
    lowest = min(record.rows[0].losses)
    assert f"lowest validation loss {lowest:.4f}, after epoch 2; aimed at: below 1.47, missed" in text
    assert f"| 1-grams | {record.rows[0].scores['1-grams']['nats per character']:.4f} |" in text
    apart = [
        record.rows[2].scores[f"seed {at}"]["mse"] / record.rows[1].scores[f"seed {at}"]["mse"] - 1 for at in (0, 1)
    ]
    assert f"{min(apart):+.2%} to {max(apart):+.2%}" in text

    monkeypatch.setattr(tasks, "run", lambda *_: pytest.fail("it is run again"))
    again = make(small / "again.json", resume=str(small / "tasks.json"))
    assert again.rows == record.rows


def test_a_setting_that_has_changed_is_run_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"weather, bfloat16": SMALL["weather, bfloat16"]}
    monkeypatch.setattr(tasks, "SETTINGS", one)
    record = make(small / "tasks.json")
    assert "| bfloat16 |" in markdown(record)  # without float32 there is nothing to compare with
    monkeypatch.setattr(tasks, "SETTINGS", {name: options + " --window 24" for name, options in one.items()})
    again = make(small / "again.json", resume=str(small / "tasks.json"))
    assert [row.options[-11:] for row in again.rows] == ["--window 24"]


def test_a_run_that_fails_is_said(small: Path) -> None:
    with pytest.raises(InputError, match="jax-lstm train --epochs 0: ended with exit status 2"):
        tasks.run("weather, float32", "--epochs 0")


def test_the_text_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYSHAKESPEARE", "/no/such/file")
    with pytest.raises(InputError, match=r"tinyshakespeare.txt: not found at .*; get it from .*TINYSHAKESPEARE=FILE"):
        tasks.run(SHAKESPEARE, SETTINGS[SHAKESPEARE])


def test_the_committed_record_is_of_these_settings() -> None:
    record = records.read(records.ROOT / "benchmarks" / "records" / "tasks.json", "tasks", Row)
    commands = {name: f"jax-lstm train {options}" for name, options in SETTINGS.items()}
    assert {row.setting: row.command for row in record.rows} == commands
    assert min(record.rows[0].losses) < tasks.GOAL
    assert record.rows[0].seconds < 30 * 60
    assert [row.setting for row in record.rows][1] == VOWELS
