"""`python -m benchmarks speed`: the run, its record, the check that repeats it, the further parts. No times."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType
from rich.console import Console

from benchmarks.__main__ import main
from benchmarks.core import measure
from benchmarks.core.cases import CASES, Case, Problem
from benchmarks.core.compiling import products
from benchmarks.core.contenders import BASELINE, CONTENDERS
from benchmarks.core.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING, Contender, Runner
from benchmarks.core.record import FAILED, Record, Row, begin, read, write
from benchmarks.core.sampling import Plan, Ratio
from benchmarks.core.tables import markdown
from benchmarks.device import compile_for
from benchmarks.speed import check, comparison, kernels, memory, scaling, training
from benchmarks.speed.check import NO, SAME, WINNER, Verdict, again, judged, print_verdicts
from benchmarks.speed.command import Speed
from benchmarks.speed.comparison import COMPILE, LATE, MEASURES, MEMORY, PART, Setting, compare
from benchmarks.speed.goals import GOALS, goals
from benchmarks.speed.tables import answer, control, tables
from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.compare.contenders import InJax
from jax_lstm.data import DataConfig
from jax_lstm.kernels.fused import unavailable
from jax_lstm.train.mesh import DATA, MODEL

BRIEF = Plan(budget=0.0, least=2, sample=0.0)
TINY = {"tiny": Case(3, 4, 5, 6), "fed": Case(1, 3, 4, 5, streamed=True)}


@pytest.fixture(scope="module", autouse=True)
def small_peak() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "PEAK_SIZE", 64)
        yield


def wrong(problem: Problem) -> Runner:
    """PyTorch's, with outputs twice as large."""
    works = CONTENDERS[BASELINE].build(problem)
    off = {name: 2 * value for name, value in works[FORWARD].results().items()}
    return works | {FORWARD: works[FORWARD]._replace(results=lambda: off)}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All measures, as small as they can be; who is wrong is shown and not timed."""
    cleared: list[bool] = []

    @contextlib.contextmanager
    def counted() -> Iterator[None]:
        cleared.append(True)
        yield

    names = (BASELINE, "scan", "torch compile", "cudnn", "onnxruntime")
    contenders = {name: CONTENDERS[name] for name in names} | {"wrong": Contender(wrong, "twice as much")}
    contenders["slow"] = Contender(wrong, "", slow=99.0)
    setting = Setting(600.0, BRIEF, {MEMORY: ()}, {}, TINY, contenders)
    monkeypatch.setattr("benchmarks.speed.command.QUICK", setting)
    monkeypatch.setattr(comparison, "without_caches", counted)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XLA_DUMP", "/some/where")
    path = tmp_path / "run" / "speed.json"
    assert main(["speed", "--quick", "--out", str(path)]) == 1
    record = read(path, "speed")

    assert list(dict.fromkeys((row.case, row.measure) for row in record.of(PART) if ": " not in row.measure)) == [
        ("tiny", FORWARD), ("tiny", BACKWARD), ("tiny", TRAINING), ("tiny", COMPILE), ("fed", STREAMING)
    ]  # fmt: skip
    assert record.peak > 0
    assert record.of("cache")[0].rate > 0
    assert record.absent["cudnn"].startswith("it needs a gpu: pip install")
    forward = {row.contender: row for row in record.of(PART, "tiny", FORWARD)}
    assert forward["wrong"].failed.startswith("outputs: off by")
    assert forward["slow"].status.startswith("not offered: takes about 99 s to compile")
    assert all(len(forward[name].samples) == 2 for name in ("torch", "scan", "torch compile"))
    assert not forward["wrong"].samples
    assert record.row(PART, "tiny", BACKWARD, "wrong")
    parts = {row.measure: row.samples for row in record.of(PART, "tiny", contender="scan") if COMPILE in row.measure}
    assert list(parts) == [COMPILE, *(f"{COMPILE}: {part}" for part in ("trace", "lower", "compile", "first call"))]
    whole = parts.pop(COMPILE)
    assert whole == [sum(turn) for turn in zip(*parts.values(), strict=True)]
    assert len(cleared) == sum(len(row.samples) for row in record.of(PART, "tiny", COMPILE)) > 0
    fed = record.of(PART, "fed", STREAMING, "scan")[0]
    assert fed.about["calls"] % 3 == 0
    assert fed.about["flops"] == TINY["fed"].flops / 3
    training = record.of(PART, "tiny", TRAINING, "onnxruntime")
    assert "onnxruntime" in record.absent or training[0].status == "not offered: it runs models and does not train"

    assert record.environment["variables"]["OMP_NUM_THREADS"] == "1"
    assert "XLA_DUMP" not in record.environment["variables"]  # a path
    printed, text = capsys.readouterr().out, markdown(*tables(record))
    assert "geometric mean" in printed
    assert max(len(line) for line in printed.splitlines() if "record:" not in line) <= 120
    for part in ("failed: outputs: off by", "not offered: takes about 99 s", "nothing compiled: runs eagerly"):
        assert part in text, part


def test_when_the_time_is_up_the_rest_is_left_out() -> None:
    contenders = {name: CONTENDERS[name] for name in (BASELINE, "scan")}
    setting = Setting(0.0, BRIEF, {}, {}, TINY, contenders)
    rows = [row for group in compare(setting) for row in group if row.part == PART]
    assert len(rows) == 2 * len(setting.pairs())
    assert {row.status for row in rows} == {LATE}


def test_settings() -> None:
    full, quick = comparison.FULL.pairs(), comparison.QUICK.pairs()
    assert {measure for _, measure in full} == {measure for _, measure in quick} | {MEMORY} == set(MEASURES)
    assert {case for case, _ in full} == set(CASES)
    assert [row for row in full if row[0] == "streaming"] == [("streaming", STREAMING)]
    assert "torch compile cell" in comparison.FULL.barred("largest", FORWARD)
    named = Speed(case=("largest",), measure=(TRAINING,), contender=("scan",))._setting()
    assert named.pairs() == [("largest", TRAINING)]  # which the full setting leaves out
    assert list(named.contenders) == [BASELINE, "scan"]
    assert not named.barred("largest", TRAINING)


def test_adam_is_joined_where_the_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")

    def sizes(flat: bool) -> set[int]:
        return {leaf.ndim for leaf in jax.tree.leaves(training._step("scan", flat)[1].opt_state)}

    assert sizes(flat=True) == {0, 1}, "a counter and vectors"
    assert sizes(flat=False) == {0, 1, 2}
    made, adam = [], torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *given, **options: made.append(options) or adam(*given, **options))
    monkeypatch.setattr(training, "STEPS", 2)
    training.training(BRIEF, [])
    assert {each["fused"] for each in made} == {False, True}


def test_kernels_in_several_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"c": Case(2, 25, 3, 4)}
    stacks = () if unavailable() else (kernels.STACKS,)
    ours = [
        each for each in kernels.VARIATIONS if each.part in stacks or not next(iter(each.ways)).startswith("native")
    ]
    variations = tuple(each._replace(cases=small) for each in ours)
    monkeypatch.setattr(kernels, "QUICK", kernels.Setting(BRIEF, variations, lengths=(2, 4)))
    monkeypatch.setattr(training, "STEPS", 3)
    assert main(["speed", "--part", "kernels", "--quick", "--out", str(tmp_path / "a.json")]) == 0
    record = read(tmp_path / "a.json", "speed")
    assert {row.part for row in record.rows} == {
        "peak", "cache", "bfloat16", "bfloat16 beside torch", "audio", *stacks, "unroll", "directions", "remat",
        "training", "compiling",
    }  # fmt: skip
    assert {row.contender for row in record.of("remat", "c", f"{BACKWARD}: temporary")} == {
        "keep all",
        "gates",
        "chunks",
    }
    assert record.of("bfloat16", "c", FORWARD, "scan, bfloat16")[0].baseline == "scan"
    assert [row.case for row in record.of("compiling", contender="scan")] == ["T=2", "T=4"]
    assert {"torch", "scan", "scan, a call a step"} <= {row.contender for row in record.of("training")}
    assert {"torch, fused Adam", "scan, flat Adam"} <= {row.contender for row in record.of("training")}
    for name, parts in (kernels.ALONE | {"training": ("training",)}).items():
        if name == kernels.STACKS and not stacks:
            continue
        assert main(["speed", "--part", name, "--quick", "--out", str(tmp_path / "b.json")]) == 0
        record = read(tmp_path / "b.json", "speed")
        assert {row.part for row in record.rows} == {"peak", "cache", *parts}
        for row in record.rows:
            assert row.samples, row


# Records made by hand: the check, the mean, the goals


def made_by_hand(speed: float, failed: str = "") -> Record:
    """A record of the case "tutorial" in which `scan` is `speed` times as fast."""
    about = {"shape": CASES["tutorial"].shape}
    own = [1 / speed, 1.01 / speed, 1.0 / speed]
    scan = Row(PART, "tutorial", "scan", FORWARD, "s", own, BASELINE, about=about)
    if failed:
        scan = Row(PART, "tutorial", "scan", FORWARD, status=FAILED + failed, about=about)
    torch = Row(PART, "tutorial", BASELINE, FORWARD, "s", [1.0, 1.01, 0.99], BASELINE, about=about)
    return dataclasses.replace(begin("speed", ""), rows=[torch, scan, Row(PART, "tutorial", "scan", MEMORY, "B", [1])])


@pytest.mark.parametrize(
    ("then", "now", "text", "broken"),
    [
        ((1.9, 2.1), (2.0, 2.4), SAME, False),
        ((1.9, 2.1), (1.2, 1.4), WINNER, False),
        ((0.4, 0.5), (0.7, 0.8), WINNER, False),
        ((1.9, 2.1), (0.8, 0.9), NO, True),
        ((0.9, 1.1), (1.2, 1.3), NO, True),
        ((1.9, 2.1), None, "absent: not installed", False),
        ((1.9, 2.1), None, "failed: outputs: off", True),
    ],
)
def test_verdicts(then: tuple[float, float], now: tuple[float, float] | None, text: str, broken: bool) -> None:
    row = Row(PART, "c", "x", FORWARD)
    verdict = Verdict(row, Ratio(sum(then) / 2, *then), now and Ratio(sum(now) / 2, *now), "" if now else text)
    assert (verdict.text, verdict.broken) == (text, broken)


def test_a_check_repeats_what_was_recorded() -> None:
    recorded = made_by_hand(2.0)
    setting = again(recorded)
    assert setting.pairs() == [("tutorial", FORWARD)]
    assert list(setting.contenders) == [BASELINE, "scan"]
    now = (recorded, made_by_hand(0.5), made_by_hand(2.0, "outputs: off"))
    verdicts = [verdict for each in now for verdict in judged(recorded, each)]
    assert [verdict.text for verdict in verdicts] == [SAME, NO, "failed: outputs: off"]
    other = dataclasses.replace(recorded, threads=7, environment=recorded.environment | {"cpu": "another"})
    console = Console(width=120)
    with console.capture() as printed:
        print_verdicts(console, other, recorded, verdicts)
    assert "1 of 3 ratios hold" in printed.get()
    assert "recorded with the CPU another" in printed.get()
    assert "recorded with threads 7; here it is" in printed.get()
    rows = [dataclasses.replace(row, about={"shape": "1,2,3,4"}) for row in recorded.rows]
    with pytest.raises(InputError, match=r"--check.*tutorial"):
        again(dataclasses.replace(recorded, rows=rows))
    with pytest.raises(InputError, match=r"--check.*without any"):
        again(dataclasses.replace(recorded, rows=[]))


@pytest.mark.parametrize(("wide", "status"), [(False, 1), (True, 0)])
def test_the_command_checks(wide: bool, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a ratio that no machine has, and against one so wide that it holds on any."""
    monkeypatch.setattr(check, "LIGHTER", 0.0)
    recorded, path = made_by_hand(1e-9), tmp_path / "recorded.json"
    if wide:
        recorded.rows[0].samples[:], recorded.rows[1].samples[:] = [1e-9, 1.0, 1e9], [1.0, 1.0, 1.0]
    write(recorded, path)
    assert main(["speed", "--check", str(path), "--out", str(tmp_path / "now.json")]) == status
    assert {row.contender for row in read(tmp_path / "now.json").of(PART)} == {BASELINE, "scan"}


def test_doubtful_means_are_marked_and_pytorch_is_held_against_itself() -> None:
    seconds = {"torch": [3.0] * 5, "torch compile": [2.0] * 5, "scan": [0.6, 3.0, 1.5, 4.5, 0.3]}
    rows = [Row(PART, "c", name, FORWARD, "s", samples, "torch") for name, samples in seconds.items()]
    record = dataclasses.replace(made_by_hand(2.0), rows=rows)
    shown = {row[0]: row[2].split()[0] for row in answer(record).rows}
    assert shown == {"scan": "~2.00", "torch compile": "1.50"}
    assert control(record) == "1.50 to 1.50 times as fast (1 rows)"
    alone = dataclasses.replace(record, rows=[dataclasses.replace(rows[2], about={"shape": "1"})])
    assert "| c | forward | scan | 1.5 s | - | - |" in markdown(*tables(alone))  # where PyTorch failed


@pytest.mark.parametrize(("native", "met"), [(1.0, "yes"), (1.2, "no")])
def test_goals(native: float, met: str) -> None:
    seconds = {BASELINE: 2.0, "native": native, "keras": 3.0}
    rows = [
        Row(PART, case, name, measure, "s", [value, value], BASELINE, about={"shape": "", "flops": 1e9})
        for case in ("a", "b") for measure in (FORWARD, BACKWARD) for name, value in seconds.items()
    ]  # fmt: skip
    found = {row[0]: row[1:] for row in goals([dataclasses.replace(begin("speed", ""), rows=rows)]).rows}
    assert len(found) == len(GOALS)
    assert found["native over PyTorch, forward+backward, mean"] == ("at least 1.9", f"{2 / native:.3g} (2 values)", met)
    assert found["native over the best other JAX LSTM, mean"][1] == f"{3 / native:.3g} (4 values)"
    assert found["native, a streaming step over that of nn.LSTM"] == ("at least 2", "-", "")


# The further parts


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    """More than two of the arrays that gradients keep, and less than sixty; the process alone is larger than those."""
    array = 4 * 64 * 256 * 64
    found, failed = memory.peak_bytes(Case(64, 256, 32, 64), ["scan", BASELINE, "nobody"], TRAINING)
    assert failed == {"nobody": "KeyError: 'nobody'"}
    assert all(2 * array < found[name] < 60 * array for name in ("scan", BASELINE)), found


def test_an_ensemble_that_trains_otherwise_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = tmp_path / "wave.csv"
    wave.write_text("y\n" + "".join(f"{np.sin(at / 4):.4f}\n" for at in range(200)))
    data = DataConfig(csv=str(wave), target=("y",), window=6, horizon=3)
    setup, plan = training.Setup(2, 4, batch_size=16), Plan(budget=0.0, least=2, most=2, sample=0.0)
    rows = training.compared("2 tiny", setup, plan, data)
    assert [row.contender for row in rows if row.samples] == ["torch", training.ONE_BY_ONE, training.AT_ONCE]
    train = InJax.train
    monkeypatch.setattr(InJax, "train", lambda self, rows: train(self, rows) * 1.01)
    failed = {row.contender: row.failed for row in training.compared("2 off", setup, plan, data)}
    assert failed[training.ONE_BY_ONE].startswith("losses: off by")


SMALL = scaling.Size(8, 1, 5, 2)
NEWER = tuple(map(int, jax.__version__.split(".")[:2])) > (0, 10)  # of 0.12 at least, whose XLA sends twice as much


@pytest.fixture(scope="module")
def steps() -> list[scaling.Step]:
    return scaling.steps(SMALL, [(1, 1), (256, 1), (2, 2)])


def test_flops_are_those_of_the_program(steps: list[scaling.Step], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in the jaxpr too; the lowest layer's inputs are an embedding, whose gradient is a product as well."""
    mesh = jax.sharding.Mesh([[jax.devices()[0]]], (DATA, MODEL))
    monkeypatch.setenv("JAX_LSTM_BACKEND", "scan")  # whose products are in the jaxpr
    run, arguments = scaling.program(SMALL, mesh)
    assert products(run.trace(*arguments).jaxpr.jaxpr) == scaling.CALLS * scaling.flops(SMALL)
    assert all(step.flops == scaling.flops(SMALL) for step in steps)


def test_what_devices_exchange(steps: list[scaling.Step]) -> None:
    """Over `data` gradients and the loss; with `model` parameters come together and gradients go apart, once a step."""
    alone, row, split = steps
    assert (alone.exchanges, alone.held) == ([], alone.parameters)
    assert {(each.kind, each.times) for each in row.exchanges} == {("all-reduce", scaling.CALLS)}
    twice = 4 * 4 * SMALL.hidden_size  # the gradients of the two biases are the same, and cross once
    assert row.sent == pytest.approx(2 * 255 / 256 * (row.parameters - twice + 4))
    assert row.parameters == 4 * (256 * 8 + 4 * 8 * (8 + 8 + 2) + 256 * 9)  # embedding, LSTM, head
    assert {each.kind for each in split.exchanges} == {"all-gather", "reduce-scatter", "all-reduce"}
    assert max(each.times for each in split.exchanges) == scaling.CALLS
    assert split.held == split.parameters / 2
    # Of P bytes half go and half come over `model`; of the half that is left, half goes and half comes over `data`.
    least = split.parameters * (1 / 2 + 1 / 2 + 1 / 2)
    assert split.sent == pytest.approx(least, rel=0.02) or (NEWER and least < split.sent < 2.1 * least)
    figures = {each.measure: each.value for each in split.rows}
    assert figures["sent"] == split.sent
    assert figures["all-gather"] == split.number("all-gather")


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_it_lowers_for_256_devices_that_are_not_there(steps: list[scaling.Step], platform: str) -> None:
    """With as many reductions as the program that XLA compiled for CPU has, and the bias that it sees twice."""
    mesh = AbstractMesh((256, 1), (DATA, MODEL), axis_types=(AxisType.Auto,) * 2)
    run, arguments = scaling.program(SMALL, mesh)
    text = run.trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
    assert "num_partitions = 256" in text
    assert text.count("stablehlo.all_reduce") == 1 + sum(each.arrays for each in steps[1].exchanges)


def test_meshes() -> None:
    assert scaling.small(6) == [(1, 1), (2, 1), (4, 1)]
    assert scaling.large(256)[:4] == [(8, 1), (32, 1), (128, 1), (256, 1)]
    assert scaling.large(256)[-1] == (32, 8)
    assert scaling.large(4) == [(4, 1), (2, 2), (1, 4)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "`--compile-for` must name devices, such as v5e:2x4 or h100:8"),
        ("v5e:2x4", r'pip install "\.\[tpu-compile\]"'),
        ("h100:8", r'pip install "\.\[cuda-compile\]"'),
    ],
)
def test_no_such_devices_or_no_compiler(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_for, "find_spec", lambda module: None)
    compile_for.described.cache_clear()
    with pytest.raises((InputError, MissingExtraError), match=message):
        compile_for.described(name)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("speed --part everything", "`--part` must be one of 'speed'"),
        ("speed --case huge", "`--case` must be one of 'tutorial'"),
        ("speed --contender nobody", "`--contender` must be one of 'torch'"),
        ("speed --measure height", "`--measure` must be one of 'forward'"),
        ("speed --check no-such-file.json", "no-such-file.json: No such file or directory"),
        ("speed --check benchmarks/records/speed.json --case tutorial", "`--case` must be left out with --check"),
        (
            "speed --check benchmarks/records/jit.json",
            "not a record of `python -m benchmarks speed`: it is one of 'jit'",
        ),
        ("jit --sweep everything", "`--sweep` must be one of 'base', 'steps'"),
        ("accuracy --study unknown", "`--study` must be one of 'series'"),
        ("report --record gone.json", "gone.json: No such file or directory"),
    ],
)
def test_wrong_arguments(command: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    from benchmarks.core.record import ROOT

    monkeypatch.chdir(ROOT)
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmarks: error: ")
    assert message in error
