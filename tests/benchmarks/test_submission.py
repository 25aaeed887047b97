"""`python -m benchmarks speed --submit`: a submission verifies; what was changed, left out or not allowed is found."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.core import measure, record
from benchmarks.core.cases import CASES
from benchmarks.core.contenders import BASELINE, CONTENDERS
from benchmarks.core.contenders.base import FORWARD
from benchmarks.core.machine import VARIABLES
from benchmarks.core.record import RECORDS, as_text, read, write
from benchmarks.core.sampling import Plan
from benchmarks.speed import check, submission
from benchmarks.speed.comparison import FULL, MEASURES, PART, Setting
from benchmarks.speed.submission import digest, sealed, sources, verified
from jax_lstm.checks import InputError

SHORT = Setting(
    600.0, Plan(budget=0.0, least=2, sample=0.0), {}, {}, {"tutorial": CASES["tutorial"]},
    {name: CONTENDERS[name] for name in (BASELINE, "scan", "cudnn")}, {FORWARD: MEASURES[FORWARD]},
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def rules_are_kept() -> Iterator[None]:
    """A committed checkout, a quiet machine, no variables, and a comparison of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "PEAK_SIZE", 64)
        patch.setattr(record, "commit", lambda: "0123456789" * 4)
        patch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))
        patch.setattr("benchmarks.speed.command.FULL", SHORT)
        patch.setattr(check, "LIGHTER", 0.0)
        for name in [name for name in os.environ if VARIABLES.fullmatch(name)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("submitted") / "mine.json"
    assert main(["speed", "--submit", str(path)]) == 0
    return path


def test_a_submission_verifies_and_is_repeated(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, own = read(path, "speed"), sources()
    assert found.submission["sources"] == own
    assert {"benchmarks/core/gate.py", "jax_lstm/layers.py", "jax_lstm/kernels/fused/cpu/forward.h"} <= own.keys()
    assert list(found.absent) == ["cudnn"]
    assert main(["speed", "--check", str(path), "--out", str(tmp_path / "now.json")]) in (0, 1)  # times may differ
    printed = capsys.readouterr().out
    assert f"The submission is unchanged (digest {found.submission['digest'][:12]}), complete" in printed
    assert "ratios hold" in printed
    assert read(tmp_path / "now.json").row(PART, "tutorial", FORWARD, "scan")
    assert not read(tmp_path / "now.json").submission


@pytest.mark.parametrize("what", ["a sample", "the processor", "a row", "no digest"])
def test_a_changed_record_is_found(what: str, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    if what == "a sample":
        next(row for row in values["rows"] if row["contender"] == "scan")["samples"][0] *= 0.5
    elif what == "the processor":
        values["environment"]["cpu"] = "another"
    elif what == "a row":
        del values["rows"][-1]
    else:  # as in a run that was interrupted
        del values["submission"]["digest"]
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(values), encoding="utf-8")
    assert main(["speed", "--check", str(changed), "--out", str(tmp_path / "now.json")]) == 2
    assert "`--check` must be unchanged since it was made, with the digest" in capsys.readouterr().err
    assert not (tmp_path / "now.json").exists()


def test_rows_that_are_left_out_are_found_though_the_digest_is_computed_again(path: Path) -> None:
    found = read(path, "speed")
    fewer = sealed(replace(found, rows=[row for row in found.rows if row.contender != "scan"]))
    assert digest(fewer) == fewer.submission["digest"]
    with pytest.raises(InputError, match=r"hold the full comparison; got a record without tutorial, forward, scan$"):
        verified(fewer, SHORT)
    with pytest.raises(InputError, match=r"full comparison; .* and \d+ more"):
        verified(found, FULL)


@pytest.mark.parametrize("name", ["benchmarks/core/gate.py", "jax_lstm/layers.py", "jax_lstm/kernels/fused/cpu/pack.h"])
def test_an_edited_source_file_is_named(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the bytes of one file are read."""
    read_bytes = Path.read_bytes
    edited = tuple(Path(name).parts[1:])

    def read_edited(self: Path) -> bytes:
        return read_bytes(self) + b"\n" * (self.parts[-len(edited) :] == edited)

    monkeypatch.setattr(Path, "read_bytes", read_edited)
    with pytest.raises(InputError, match=rf"got others of {name} \(git checkout 0123456789"):
        verified(read(path, "speed"), SHORT)


def test_a_file_that_is_new_or_gone_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = {name: value for name, value in sources().items() if name != "benchmarks/core/gate.py"}
    monkeypatch.setattr(submission, "sources", lambda: now | {"benchmarks/new.py": ""})
    with pytest.raises(InputError, match=r"got others of benchmarks/core/gate\.py, benchmarks/new\.py \("):
        verified(read(path, "speed"), SHORT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": "0123456789" * 4 + " and changes"}, "one commit, without changes; got 0123"),
        ({"commit": "unknown"}, "one commit, without changes; got unknown"),
        ({"load": 2.44}, "whose load was at most 0.5 in the minute before; got 2.4"),
        ({"variables": {"XLA_FLAGS": "--x", "JAX_PLATFORMS": "cpu"}}, "that change speeds; got XLA_FLAGS (unset them)"),
    ],
)
def test_the_rules_hold_for_both_sides(changes: dict[str, Any], message: str, path: Path, tmp_path: Path) -> None:
    found = read(path, "speed")
    environment = found.environment | {"variables": changes.pop("variables", {})}
    broken = sealed(replace(found, environment=environment, **changes))
    write(broken, tmp_path / "broken.json")
    assert as_text(read(tmp_path / "broken.json")) == as_text(broken)
    for raising in (lambda: submission.begun(broken), lambda: verified(broken, SHORT)):
        with pytest.raises(InputError) as error:
            raising()
        assert message in str(error.value)


WEAKER = ("--quick", "--case tutorial", "--contender scan", "--measure forward", "--out b.json", "--part kernels")


@pytest.mark.parametrize("option", [*WEAKER, f"--check {RECORDS / 'speed.json'}"])
def test_what_weakens_it_is_refused(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "--submit", str(tmp_path / "a.json"), *option.split()]) == 2
    name = option.split()[0]
    assert f"`{name}` must be " in (error := capsys.readouterr().err)
    assert "with --submit" in error
    assert not list(tmp_path.iterdir())
