"""`python -m benchmarks device`, as small as it can be, on the CPU: every part runs, and what is wrong is not timed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

pytest.importorskip("torch")

from benchmarks import record as records
from benchmarks.cases import Case
from benchmarks.contenders.base import BACKWARD, FORWARD, Work
from benchmarks.device import command, floor, grid, parity, scan_settings
from benchmarks.device.precisions import PRECISIONS
from benchmarks.device.tables import markdown
from benchmarks.plain_options import parse
from benchmarks.sampling import Plan, Timed
from jax_lstm.kernels.auto import KERNELS

BRIEF = Plan(budget=0.0, least=2, most=2, sample=0.0)
TINY = Case(2, 6, 4, 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record with one case, one precision and one way to set XLA."""
    path = tmp_path_factory.mktemp("device") / "device.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "PLAN", BRIEF)
        patch.setattr(command, "QUICK", grid.Grid((4,), (2, 3), 6, ("bfloat16",)))
        patch.setattr(parity, "GRID", parity.GRID[-1:])
        patch.setattr(command, "SOME", 1)
        patch.setattr(scan_settings, "FLAGS", {"XLA as it is": "", "nonsense": "--xla_no_such_flag=1"})
        patch.setattr(floor, "KERNELS_IN_GRAPH", 2)
        assert command.Device(quick=True).make("python -m benchmarks device", path, Console(quiet=True)) == 0
    return path


def rows_of(path: Path, section: str) -> list[Timed]:
    record = records.read(path, "device", command.row_of)
    return [row for row in record.rows if isinstance(row, Timed) and row.section == section]


def test_parity_of_every_kernel(made: Path) -> None:
    found = [row for row in records.read(made, "device", command.row_of).rows if isinstance(row, parity.Parity)]
    assert {row.kernel for row in found} == set(KERNELS)
    assert all(row.refused.startswith("`backend` 'cudnn' cannot") for row in found if row.kernel == "cudnn")
    served = [row for row in found if not row.refused]
    assert len(served) == len(KERNELS) - 1
    assert not any(row.failed for row in served)
    assert all(0 < row.worst["gradients"] < 2e-5 for row in served)


def test_a_kernel_that_is_wrong_fails_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "differences", lambda *_: {"outputs": 1e-3, "gradients": 0.0})
    assert parity._compared("scan", parity.GRID[0]).failed == "outputs off by 1.0e-03"


def test_the_grid_times_ours_beside_torch(made: Path) -> None:
    rows = rows_of(made, "bfloat16")
    assert [(row.case, row.measure) for row in rows] == [
        ("H=4, B=2", FORWARD), ("H=4, B=2", BACKWARD), ("H=4, B=3", FORWARD), ("H=4, B=3", BACKWARD)
    ]  # fmt: skip
    assert all({grid.TORCH, grid.PACKED, "scan"} <= row.seconds.keys() for row in rows)
    assert not any(row.failed for row in rows)


def test_who_computes_something_else_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = grid.ours

    def wrong(backend: str, dtype: Any) -> Any:
        def build(problem: Any) -> Any:
            runner = ours(backend, dtype)(problem)
            off = {name: 1.1 * value for name, value in runner[FORWARD].results().items()}
            return runner | {FORWARD: Work(lambda: None, lambda: off)}

        return build

    monkeypatch.setattr(grid, "ours", wrong)
    chosen = grid.Grid((4,), (2,), 6, ("TF32",))
    row = next(iter(grid.rows(TINY, chosen, "cpu", BRIEF, 1)))
    assert row.failed["scan"].startswith("off by 1.0e-01, more than 1e-02")
    assert grid.TORCH in row.seconds


def test_float16_has_gradients_over_many_steps() -> None:
    """The mean over all outputs would round them to nothing."""
    chosen = grid.Grid((16,), (8,), 256, ("float16",))
    row = [*grid.rows(Case(8, 256, 16, 16), chosen, "cpu", BRIEF, 1)][1]
    assert (row.measure, row.failed, row.notes) == (BACKWARD, {}, {})
    assert {grid.TORCH, "scan"} <= row.seconds.keys()


def test_limits_and_floor(made: Path) -> None:
    record = records.read(made, "device", command.row_of)
    assert [row.case for row in rows_of(made, "limit")] == [*PRECISIONS, "memory"]
    forward, backward = rows_of(made, "bfloat16")[:2]
    least, both = (floor.floor(record, row) for row in (forward, backward))
    assert least is not None
    assert both is not None
    assert 2 * least.seconds <= both.seconds * 1.0001 <= 3.001 * least.seconds
    product = next(row for row in rows_of(made, "limit") if row.case == "bfloat16")
    rate = product.flops / min(min(samples) for samples in product.seconds.values())
    assert least.seconds >= forward.flops / rate


def test_settings_of_scan_and_a_flag_that_is_refused(made: Path) -> None:
    plain, nonsense = rows_of(made, "scan")
    assert len(plain.seconds) == 2 * 2 * 2  # unrolls, types, measures
    assert "xla_no_such_flag" in nonsense.failed["scan"]


def test_tables(made: Path) -> None:
    text = markdown(records.read(made, "device", command.row_of))
    for part in (
        "| scan | 1 of 1 |",
        "| H=4, B=2 | forward |",
        "| product, TF32 |",
        "nonsense: failed: ",
        "Device: cpu",
    ):
        assert part in text, part


def test_cases_that_time_does_not_reach_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "parity", lambda _: [parity.Parity("scan", "", {"outputs": 0.0, "gradients": 0.0})])
    monkeypatch.setattr(command.scan_settings, "settings", lambda *_: [])
    path = tmp_path / "device.json"
    device = command.Device(minutes=1e-9, quick=True)
    monkeypatch.setattr(command.floor, "limits", lambda *_: (1 / at for at in (0,)))
    assert device.make("python -m benchmarks device", path, Console(quiet=True)) == 1
    assert "Ended early: limits: ZeroDivisionError" in markdown(records.read(path, "device", command.row_of))
    assert "Not reached: H=8, B=1, H=8, B=2" in markdown(records.read(path, "device", command.row_of))


def test_it_starts_without_tyro() -> None:
    """Nothing but numpy, jax, flax, optax, torch and what they bring."""
    blocked = "import sys; [sys.modules.__setitem__(n, None) for n in ('tyro', 'matplotlib', 'onnx', 'keras')]; "
    script = blocked + "sys.argv = ['benchmarks', 'device', '--minutes', '0']; import benchmarks.__main__"
    script += "; benchmarks.__main__.find_spec = lambda name: None; sys.exit(benchmarks.__main__.main())"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=records.ROOT)
    assert (ran.returncode, ran.stderr.strip()) == (2, "benchmarks: error: `--minutes` must be positive; got 0.0")


def test_options_without_tyro() -> None:
    assert parse(command.Device, "device", []) == command.Device()
    given = ["--quick", "--minutes", "2.5", "--out", "a.json"]
    assert parse(command.Device, "device", given) == command.Device(quick=True, minutes=2.5, out="a.json")
