"""`python -m benchmarks engine`: who computes something else is not timed, and the page shows the record. No times."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import oracle
import pytest
from rich.console import Console

torch = pytest.importorskip("torch")

from benchmarks import record as records  # noqa: E402
from benchmarks import sampling, streaming, training  # noqa: E402
from benchmarks import timed as timed_module  # noqa: E402
from benchmarks.cases import ENGINE_CASES, Case, Problem, draw  # noqa: E402
from benchmarks.contenders import BASELINE, CONTENDERS, ENGINE_CONTENDERS  # noqa: E402
from benchmarks.contenders.base import BACKWARD, FORWARD, TRAINING, Contender, Runner, loss_scale  # noqa: E402
from benchmarks.engine import measure  # noqa: E402
from benchmarks.engine_tables import markdown, print_tables  # noqa: E402
from benchmarks.gate import Admitted, admit, fault, lineup  # noqa: E402
from benchmarks.gate import oracle as expected_of  # noqa: E402
from benchmarks.goals import GOALS, judged  # noqa: E402
from benchmarks.layers import layers  # noqa: E402
from benchmarks.page import put_into  # noqa: E402
from benchmarks.record import Record  # noqa: E402
from benchmarks.sampling import Plan, Timed, sample  # noqa: E402
from benchmarks.sections import SECTIONS  # noqa: E402
from benchmarks.setting import Setting  # noqa: E402
from jax_lstm.checks import InputError  # noqa: E402

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "benchmarks" / "records" / "engine.json"
PAGE = ROOT / "docs" / "performance.md"
TINY = Case(3, 4, 5, 6)
PRESENT = [name for name, contender in ENGINE_CONTENDERS.items() if not contender.absent()]
BRIEF = Plan(budget=0.0, least=2, sample=0.0)


def scaled(factor: float, of: str) -> Contender:
    """PyTorch's, with one of its results off by a factor."""

    def build(problem: Problem) -> Runner:
        def off(results: Any) -> Any:
            return lambda: {name: value * (factor if name == of else 1) for name, value in results().items()}

        works = CONTENDERS[BASELINE].build(problem)
        return {kind: work._replace(results=off(work.results)) for kind, work in works.items()}

    return Contender(build, "wrong")


def raises(problem: Problem) -> Runner:
    raise RuntimeError("out of order\nand more")


def test_the_oracle_agrees_with_the_one_of_the_tests() -> None:
    found, problem = expected_of(TINY, FORWARD) | expected_of(TINY, BACKWARD), draw(TINY)
    params = {name.removesuffix("_l0"): value for name, value in problem.params.items()}
    zeros = np.zeros((TINY.batch, TINY.hidden_size))
    ys, _, _, tapes = oracle.layer(params, problem.xs, zeros, zeros)
    d_ys = loss_scale(problem) * 2 * ys / ys.size
    d_params, d_xs, _, _ = oracle.layer_backward(params, tapes, d_ys, zeros, zeros)
    wanted = {"outputs": ys, "gradient of inputs": d_xs, "gradient of bias_l0": d_params["bias_hh"]}
    wanted |= {f"gradient of {name}_l0": d_params[name] for name in ("weight_ih", "weight_hh")}
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-14, err_msg=name)


def test_bfloat16_has_a_gate_of_its_own() -> None:
    """Which ours pass in `made`."""
    expected = expected_of(TINY, FORWARD)
    for limit, dtype in ((2e-2, "bfloat16"), (4e-6, "float32")):
        close = {name: value * (1 + limit) for name, value in expected.items()}
        far = {name: value * (1 + 10 * limit) for name, value in expected.items()}
        assert not fault(close, expected, dtype)
        assert fault(far, expected, dtype).startswith("outputs: off by")


@pytest.mark.parametrize("of", ["outputs", "gradient of inputs", "gradient of weight_hh_l0", "gradient of bias_l0"])
def test_a_broken_contender_is_shown_and_not_timed(of: str) -> None:
    contenders = {BASELINE: CONTENDERS[BASELINE], "broken": scaled(1.001, of)}
    rows = list(layers(Setting(BRIEF, {"tiny": TINY}, contenders)))
    assert [row.measure for row in rows] == ["forward", "forward+backward"]
    right, wrong = rows if of.startswith("gradient") else rows[::-1]
    assert list(right.seconds) == [BASELINE, "broken"]
    assert list(wrong.seconds) == [BASELINE]
    assert wrong.failed["broken"].startswith(f"{of}: off by 1.0e-03")


def test_one_that_raises_has_failed_too() -> None:
    works, failed, _ = admit(lineup({"raises": Contender(raises, "")}, TINY), FORWARD)
    assert not works
    assert failed == {"raises": "RuntimeError: out of order"}


def test_nan_and_other_shapes_fail() -> None:
    expected = expected_of(TINY, FORWARD)
    assert "inf" in fault(expected | {"outputs": expected["outputs"] * np.nan}, expected)
    assert "shape" in fault(expected | {"outputs": expected["outputs"][1:]}, expected)
    assert not fault(expected, expected)


def test_what_is_not_there_is_named_with_how_to_get_it() -> None:
    gone = Contender(raises, "", packages=("no-such-package",), install="pip install it")
    assert gone.absent() == "no-such-package not installed: pip install it"
    assert not Setting(contenders={"gone": gone}).present()


def test_samples() -> None:
    calls = {"a": 0, "b": 0}

    def call(name: str) -> Any:
        def count() -> None:
            calls[name] += 1

        return count

    seconds, in_a_sample = sample({"a": call("a"), "b": call("b")}, Plan(budget=0.0, least=3, sample=1e-4), steps=5)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}
    assert all(count % 5 == 0 and count > 5 for count in in_a_sample.values())
    assert sample({}, Plan()) == ({}, {})


def test_seconds_are_those_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is some calls of so many steps each."""
    monkeypatch.setattr(sampling, "_duration", lambda turn: 0.002)
    monkeypatch.setattr(sampling, "interleaved", lambda turns, rounds, settled: dict.fromkeys(turns, [12.0] * rounds))
    seconds, calls = sample({"a": lambda: None}, Plan(budget=0.0, least=2, sample=0.008), steps=256)
    assert calls == {"a": 4 * 256}
    assert seconds == {"a": [12.0 / (4 * 256)] * 2}


def test_operations_of_a_row() -> None:
    """In each of 4 steps 2 * B * 4H * (I + H), and twice as much for gradients, less those by x in training."""
    forward, by_inputs = 2 * 3 * 4 * 6 * (5 + 6), 2 * 3 * 4 * 6 * 5
    wanted = {FORWARD: forward, BACKWARD: 3 * forward, TRAINING: 3 * forward - by_inputs}
    for kind, products in wanted.items():
        row = timed_module.timed("layers", "c", Case(3, 4, 5, 6), kind, Admitted({}, {}, {}), BRIEF, BASELINE)
        assert row.flops == 4 * products


@pytest.mark.parametrize("measure", [FORWARD, BACKWARD, TRAINING])
def test_a_call_in_jax_ends_when_its_results_are_there(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work, waited = CONTENDERS["scan"].build(draw(TINY))[measure], []
    monkeypatch.setattr(jax, "block_until_ready", lambda tree: waited.append(jax.tree.leaves(tree)) or tree)
    work.run()
    assert len(waited) == 1
    assert len(waited[0]) >= (3 if measure == FORWARD else 5)  # outputs and state; loss and gradients


def test_ratios_are_taken_within_rounds() -> None:
    row = Timed("layers", "c", "forward", "torch", {"torch": [2.0, 4.0, 60.0], "x": [1.0, 2.0, 10.0]}, flops=4e9)
    ratio = row.ratio("x")
    assert ratio is not None
    assert ratio.median == 2.0
    assert row.best_ratio("x") == 2.0
    assert row.gflops("x") == 2.0
    assert row.ratio("y") is None
    assert row.best_ratio("y") is None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    """A run of all measures, as small as it can be."""
    path = tmp_path_factory.mktemp("records") / "run" / "engine.json"
    contenders = {name: CONTENDERS[name] for name in (BASELINE, "scan", "native")} | {"broken": scaled(2.0, "outputs")}
    setting = Setting(
        BRIEF, {"large": Case(1, 2, 3, 256)}, contenders, long=Case(2, 25, 3, 4), lengths=(2, 4), sides=((1, 4),)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "STEPS", 3)
        patch.setattr(streaming, "CASE", Case(1, 3, 4, 5, streamed=True))
        patch.setattr(timed_module, "PEAK_SIZE", 64)
        return measure(setting, (), "python -m benchmarks engine", path, Console(quiet=True)), path


def test_every_measure_has_rows_and_the_record_comes_back(made: tuple[Record, Path]) -> None:
    record, path = made
    assert {row.section for row in record.rows} == set(SECTIONS)
    assert records.read(path) == record
    assert record.goals == judged(record)
    assert record.peak > 0
    remat = record.of("remat")[0]
    assert remat.seconds.keys() == remat.memory.keys() == {"keep all", "gates", "chunks"}
    assert not any(row.failed.keys() - {"broken"} for row in record.rows)


def test_the_tables_of_a_run(made: tuple[Record, Path]) -> None:
    record, _ = made
    text = markdown(record)
    assert "broken (large, forward): outputs: off by 1.0e+00, more than 5e-06" in text
    assert "| failed |" in text
    assert all(goal.text in text for goal in GOALS)
    console = Console(width=120)
    with console.capture() as printed:
        print_tables(console, record)
    assert "geometric mean" in printed.get()


def test_goals_are_judged_when_all_cases_are_there() -> None:
    row = Timed(
        "layers", "", "forward+backward", BASELINE, {BASELINE: [2.0], "native": [1.0], "keras": [3.0]}, flops=1e9
    )
    product = Timed("peak", "product", "product", BASELINE, {BASELINE: [1.0]}, flops=1e9)
    for measured, met in ((list(ENGINE_CASES), True), (["tutorial"], None)):
        rows = [product] + [
            dataclasses.replace(row, case=case, measure=kind)
            for case in measured
            for kind in ("forward", "forward+backward")
        ]
        record = Record("engine", "", "", "", 0.0, None, 1, "", {}, rows=rows)
        found = {goal["goal"]: goal for goal in judged(record) if goal["kernel"] == "native"}
        assert found["speed over PyTorch in forward+backward, mean"]["reached"] == 2.0
        assert found["speed over PyTorch in forward+backward, mean"]["met"] is met
        assert found["speed over the best other JAX LSTM, mean"]["reached"] == pytest.approx(3.0)
        assert found["streaming step over that of nn.LSTM"]["met"] is None


def test_no_record(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"rows": []}')
    with pytest.raises(InputError, match="not a record"):
        records.read(tmp_path / "a.json")
    with pytest.raises(InputError, match="--page"):
        put_into("a page without marks", "")
