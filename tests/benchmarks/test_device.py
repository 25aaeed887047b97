"""`python -m benchmarks device`, as small as it can be, on the CPU: every part runs, and what is wrong is not timed."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import pytest

from benchmarks import record as records
from benchmarks.__main__ import main
from benchmarks.core.cases import Case
from benchmarks.core.contenders.base import BACKWARD, FORWARD, Work
from benchmarks.device import barrier, command, floor, grid, parity, scan_settings
from benchmarks.device.precisions import PRECISIONS
from benchmarks.device.tables import markdown
from benchmarks.plain_options import parse
from benchmarks.sampling import Plan, Timed
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
    made = records.read(path, "device", command.row_of)

    kernels = {row.kernel: row for row in made.rows if isinstance(row, parity.Parity)}
    assert kernels.keys() == KERNELS.keys()
    for elsewhere in ("cudnn", "pallas"):
        assert kernels.pop(elsewhere).refused.startswith(f"`backend` '{elsewhere}' cannot")
    assert not any(row.failed or row.refused for row in kernels.values())
    assert all(0 < row.worst["gradients"] < 2e-5 for row in kernels.values())

    timed = [row for row in made.rows if isinstance(row, Timed)]
    limits, rows, settings = ([r for r in timed if r.section == name] for name in ("limit", "bfloat16", "scan"))
    assert [(row.case, row.measure) for row in rows] == [
        ("H=4, B=2", FORWARD), ("H=4, B=2", BACKWARD), ("H=4, B=3", FORWARD), ("H=4, B=3", BACKWARD)
    ]  # fmt: skip
    assert all({grid.TORCH, grid.PACKED, "scan"} <= row.seconds.keys() for row in rows)
    assert not any(row.failed for row in rows)
    plain, nonsense = settings
    assert len(plain.seconds) == 2 * 2 * 2  # unrolls, types, measures
    assert "xla_no_such_flag" in nonsense.failed["scan"]

    assert [row.case for row in limits] == [*PRECISIONS, "memory"]
    least, both = (floor.floor(made, row) for row in rows[:2])
    assert least is not None
    assert both is not None
    assert 2 * least.seconds <= both.seconds * 1.0001 <= 3.001 * least.seconds
    product = next(row for row in limits if row.case == "bfloat16")
    assert least.seconds >= rows[0].flops * min(min(samples) for samples in product.seconds.values()) / product.flops
    assert floor.waits(made, rows[0], barrier.BARRIER) is None
    made.rows.append(Timed("limit", "grid", barrier.BARRIER, "jax", {"jax": [3e-6, 2e-6]}))
    assert [floor.waits(made, row, barrier.BARRIER) for row in rows[:2]] == pytest.approx([12e-6, 24e-6])
    made.rows[-1] = replace(made.rows[-1], seconds={}, failed={"jax": "no such device"})
    text = markdown(made)
    for part in (
        "| scan | 1 of 1 |", "| H=4, B=2 | forward |", "| product, TF32 |", "nonsense: failed: ", "Device: cpu",
        "barrier in a kernel: no such device",
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
    row = next(iter(grid.rows(Case(2, 6, 4, 4), grid.Grid(precisions=("TF32",)), "cpu", BRIEF, 1)))
    assert row.failed["scan"].startswith("off by 1.0e-01, more than 1e-02")
    assert grid.TORCH in row.seconds
    assert "scan" not in row.seconds


def test_float16_has_gradients_over_many_steps() -> None:
    """The mean over all outputs would round them to nothing."""
    row = [*grid.rows(Case(8, 256, 16, 16), grid.Grid(precisions=("float16",)), "cpu", BRIEF, 1)][1]
    assert (row.measure, row.failed, row.notes) == (BACKWARD, {}, {})
    assert {grid.TORCH, "scan"} <= row.seconds.keys()


def test_what_fails_breaks_or_is_not_reached_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "GRID", parity.GRID[:1])
    monkeypatch.setattr(parity, "differences", lambda *_: {"outputs": 1e-3, "gradients": 0.0})
    monkeypatch.setattr(command.scan_settings, "settings", lambda *_: [])
    monkeypatch.setattr(command.floor, "limits", lambda *_: (1 / at for at in (0,)))
    path = tmp_path / "device.json"
    assert main(["device", "--quick", "--minutes", "1e-9", "--out", str(path)]) == 1
    text = markdown(records.read(path, "device", command.row_of))
    assert "outputs off by 1.0e-03" in text
    assert "Ended early: limits: ZeroDivisionError" in text
    assert "Not reached: H=8, B=1, H=8, B=2" in text


def test_it_starts_without_tyro() -> None:
    """Nothing but numpy, jax, flax, optax, torch and what they bring."""
    blocked = "import sys; [sys.modules.__setitem__(n, None) for n in ('tyro', 'matplotlib', 'onnx', 'keras')]; "
    script = blocked + "sys.argv = ['benchmarks', 'device', '--minutes', '0']; import benchmarks.__main__"
    script += "; benchmarks.__main__.find_spec = lambda name: None; sys.exit(benchmarks.__main__.main())"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=records.ROOT)
    assert (ran.returncode, ran.stderr.strip()) == (2, "benchmarks: error: `--minutes` must be positive; got 0.0")
    given = ["--quick", "--minutes", "2.5", "--out", "a.json"]
    assert parse(command.Device, "device", given) == command.Device(quick=True, minutes=2.5, out="a.json")


# The barrier of a GPU, whose results are checked where it is measured


def test_a_barrier_of_all_blocks_is_one_semaphore() -> None:
    """Lowered for a GPU; a semaphore for each block would wait for ever."""
    unchecked = [jax.export.DisabledSafetyCheck.custom_call("mosaic_gpu_v2")]
    exported = jax.export.export(barrier.exchange(132, 10), platforms=["cuda"], disabled_checks=unchecked)()
    (call,) = (line for line in exported.mlir_module().splitlines() if "@mosaic_gpu_v2" in line)
    assert re.search(r": \(tensor<1xi32>\) -> \(tensor<2x132xi32>", call)


@pytest.mark.parametrize(
    ("limit", "platform", "said"),
    [
        (60.0, "cpu", "CPU"),  # the error of JAX, and not what it adds after it
        (60.0, "nowhere", "JAX runs on cpu; not on nowhere"),
        (0.01, "cpu", "timed out after 0 s"),
    ],
)
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="there the barrier is measured")
def test_a_process_that_fails_says_why(limit: float, platform: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "LIMIT", limit)
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert said in barrier.barrier(4).failed["jax"]
