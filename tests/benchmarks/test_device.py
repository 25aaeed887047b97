"""`python -m benchmarks device`, as small as it can be, on the CPU: every part runs, and what is wrong is not timed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

from benchmarks.__main__ import main, plain
from benchmarks.core.cases import Case
from benchmarks.core.contenders.base import BACKWARD, FORWARD, Work
from benchmarks.core.record import RECORDS, ROOT, read
from benchmarks.core.sampling import Plan
from benchmarks.core.tables import markdown
from benchmarks.device import command, floor, grid, parity, scan_settings
from benchmarks.device.grid import PRECISIONS
from benchmarks.device.tables import tables
from jax_lstm.kernels.auto import KERNELS

BRIEF = Plan(budget=0.0, least=2, most=2, sample=0.0)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two small cases, one precision and two ways to set XLA."""
    monkeypatch.setattr(command, "PLAN", BRIEF)
    monkeypatch.setattr(command, "QUICK", grid.Grid((4,), (2, 3), 6, ("bfloat16",)))
    monkeypatch.setattr(command, "SOME", 1)
    monkeypatch.setattr(parity, "GRID", parity.GRID[-1:])
    monkeypatch.setattr(scan_settings, "FLAGS", {"XLA as it is": "", "nonsense": "--xla_no_such_flag=1"})
    path = tmp_path / "device.json"
    assert main(["device", "--quick", "--minutes", "60", "--out", str(path)]) == 0
    made = read(path, "device")

    kernels = {row.contender: row for row in made.of("parity", contender="") if row.measure == "outputs"}
    assert kernels.keys() == KERNELS.keys()
    for elsewhere in ("cudnn", "pallas"):
        assert kernels.pop(elsewhere).status.startswith(f"not offered: `backend` '{elsewhere}' does not support")
    assert not any(row.status for row in kernels.values())
    assert all(0 < row.value < 2e-5 for row in made.of("parity", "", "gradients"))

    rows = made.of("bfloat16")
    assert list(dict.fromkeys((row.case, row.measure) for row in rows)) == [
        ("H=4, B=2", FORWARD), ("H=4, B=2", BACKWARD), ("H=4, B=3", FORWARD), ("H=4, B=3", BACKWARD)
    ]  # fmt: skip
    assert {grid.TORCH, grid.PACKED, "scan"} <= {row.contender for row in rows if row.samples}
    assert not any(row.failed for row in rows)
    assert len(made.of("scan", "XLA as it is")) == 2 * 2 * 2  # unrolls, types, measures
    assert "xla_no_such_flag" in made.of("scan", "nonsense")[0].failed

    assert list(dict.fromkeys(row.case for row in made.of("limit"))) == [*PRECISIONS, "memory"]
    forward, backward = (made.of("bfloat16", "H=4, B=2", measure)[0] for measure in (FORWARD, BACKWARD))
    least, both = floor.floor(made, forward), floor.floor(made, backward)
    assert least is not None
    assert both is not None
    assert 2 * least.seconds <= both.seconds * 1.0001 <= 3.001 * least.seconds
    best = max(row.about["flops"] / min(row.samples) for row in made.of("limit", "bfloat16"))
    assert least.seconds >= forward.about["flops"] / best
    text = markdown(*tables(made))
    for part in (
        "| scan | 1 of 1 |", "| H=4, B=2 | forward |", "| product, TF32 |", "nonsense: failed: ",
    ):  # fmt: skip
        assert part in text, part


def test_who_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = grid.ours

    def wrong(backend: str, dtype: Any) -> Any:
        def build(problem: Any) -> Any:
            runner = ours(backend, dtype)(problem)
            off = {name: 1.1 * value for name, value in runner[FORWARD].results().items()}
            return runner | {FORWARD: Work(lambda: None, lambda: off)}

        return build

    monkeypatch.setattr(grid, "ours", wrong)
    rows = next(iter(grid.rows(Case(2, 6, 4, 4), grid.Grid(precisions=("TF32",)), "cpu", BRIEF, 1)))
    found = {row.contender: row for row in rows}
    assert found["scan"].failed.startswith("off by 1.0e-01, more than 1e-02")
    assert found[grid.TORCH].samples
    assert not found["scan"].samples


def test_float16_has_gradients_over_many_steps() -> None:
    """The mean over all outputs would round them to nothing."""
    rows = [*grid.rows(Case(8, 256, 16, 16), grid.Grid(precisions=("float16",)), "cpu", BRIEF, 1)][1]
    assert {row.measure for row in rows} == {BACKWARD}
    assert not any(row.failed or "note" in row.about for row in rows)
    assert {grid.TORCH, "scan"} <= {row.contender for row in rows if row.samples}


def test_what_fails_breaks_or_is_not_reached_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "GRID", parity.GRID[:1])
    monkeypatch.setattr(parity, "differences", lambda *_: {"outputs": 1e-3, "gradients": 0.0})
    monkeypatch.setattr(command.scan_settings, "settings", lambda *_: [])
    monkeypatch.setattr(command.floor, "limits", lambda *_: (1 / at for at in (0,)))
    path = tmp_path / "device.json"
    assert main(["device", "--quick", "--minutes", "1e-9", "--out", str(path)]) == 1
    text = markdown(*tables(read(path, "device")))
    for part in ("outputs off by 1.0e-03", "| limits | failed: ZeroDivisionError", "| H=8, B=2 | not offered: no time"):
        assert part in text, part


def test_it_starts_without_tyro() -> None:
    """Nothing but numpy, jax, flax, optax, torch and what they bring."""
    blocked = "import sys; [sys.modules.__setitem__(n, None) for n in ('tyro', 'matplotlib', 'onnx', 'keras')]; "
    script = blocked + "sys.argv = ['benchmarks', 'device', '--minutes', '0']; import benchmarks.__main__"
    script += "; benchmarks.__main__.find_spec = lambda name: None; sys.exit(benchmarks.__main__.main())"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (ran.returncode, ran.stderr.strip()) == (2, "benchmarks: error: `--minutes` must be positive; got 0.0")
    given = ["--quick", "--minutes", "2.5", "--out", "a.json"]
    assert plain(command.Device, "device", given) == command.Device(quick=True, minutes=2.5, out="a.json")


@pytest.mark.parametrize(
    ("seconds", "platform", "said"),
    [
        (60.0, "nowhere", "JAX runs on cpu; not on nowhere"),  # the error of JAX, and not what it adds after it
        (0.01, "cpu", "timed out after 0 s"),
    ],
)
def test_a_process_that_fails_says_why(
    seconds: float, platform: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    groups = [*scan_settings.settings(Case(2, 3, 4, 4), (1,), len(scan_settings.FLAGS) * seconds)]
    assert all(said in row.failed for rows in groups for row in rows)


def test_tables_of_what_was_compiled() -> None:
    """Of the committed records: cycles a step of each program, and what the kernel for Hopper takes."""
    text = markdown(*tables(read(RECORDS / "compile-v5e.json", "device")))
    assert "| H=512, B=64, bfloat16 | pallas | 1,227 |" in text
    assert "| bfloat16 | 128 | 8 | 82 | 93 / 92 / 100 |" in markdown(*tables(read(RECORDS / "compile-h100.json")))
