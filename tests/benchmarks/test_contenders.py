"""Every contender computes the same in every case and measure that it serves, and says why where it serves none."""

from typing import Any

import numpy as np
import oracle as numpy_oracle
import pytest

torch = pytest.importorskip("torch")

from benchmarks.cases import CASES, ENGINE_CASES, Case, Problem, draw  # noqa: E402
from benchmarks.contenders import BASELINE, CONTENDERS, OURS  # noqa: E402
from benchmarks.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING, Contender  # noqa: E402
from benchmarks.gate import UPDATES, admit, fault, lineup, oracle  # noqa: E402
from jax_lstm.kernels.auto import KERNELS  # noqa: E402

PRESENT = [name for name, contender in CONTENDERS.items() if not contender.absent() and not contender.slow]
SLOW = [name for name, contender in CONTENDERS.items() if contender.slow]
DEEP = Case(3, 4, 5, 6, num_layers=2, bidirectional=True)
UNEQUAL = Case(3, 4, 5, 6, unequal=True)
STREAMED = Case(2, 3, 5, 6, streamed=True)
SERVED = ((DEEP, TRAINING), (UNEQUAL, FORWARD), (UNEQUAL, BACKWARD), (STREAMED, STREAMING))


def passes(name: str, case: Case, measure: str) -> None:
    contender = CONTENDERS[name]
    works, failed, not_offered = admit(lineup({name: contender}, case), measure)
    assert not failed
    if not_offered:
        assert not_offered[name] in (contender.refuses(case), contender.lacks)
        assert not_offered[name]
    else:
        works[name].run()
        works[name].run()
        assert not fault(works[name].results(), oracle(case, measure, contender.biases if measure == TRAINING else 2))


@pytest.mark.parametrize("name", PRESENT)
def test_contenders_pass_the_gate(name: str) -> None:
    for case, measure in SERVED:
        passes(name, case, measure)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_those_that_are_slow_to_compile_pass_too(name: str) -> None:
    passes(name, STREAMED, BACKWARD)


@pytest.mark.slow
def test_a_compiled_cell_is_compiled_beside_what_cannot_be() -> None:
    """Which PyTorch does not do by itself: it remembers that it gave up."""
    names = ("torch compile", "torch compile cell")
    works = admit(lineup({name: CONTENDERS[name] for name in names}, STREAMED), BACKWARD).works
    assert works["torch compile"].note() == "nothing compiled: runs eagerly"
    assert works["torch compile cell"].note().endswith("graphs compiled")


def test_who_serves_what() -> None:
    refusing = {name for name, contender in CONTENDERS.items() if contender.refuses(UNEQUAL)}
    assert refusing == {"equinox", "torch cell", "torch compile cell"}
    assert not any(contender.refuses(DEEP) for contender in CONTENDERS.values())
    assert OURS.keys() == KERNELS.keys() - {"reference", "cudnn", "parallel", "plain"}


def test_the_oracle_of_lengths_and_layers_agrees_with_numpy() -> None:
    """One row at a time, cut at its length, through both layers and directions."""
    case = Case(3, 4, 5, 6, num_layers=2, bidirectional=True, unequal=True)
    problem, found = draw(case), oracle(case, FORWARD)["outputs"]
    assert problem.lengths is not None
    assert len(set(problem.lengths)) == 3
    for row, length in enumerate(problem.lengths):
        xs = problem.xs[:length, row : row + 1].astype(np.float64)
        zeros = np.zeros((1, case.hidden_size))
        for layer in problem.layers:
            sides = []
            for params, order in zip(layer, (slice(None), slice(None, None, -1)), strict=True):
                named = {name: value for name, value in params._asdict().items() if value is not None}
                sides.append(numpy_oracle.layer(named, xs[order], zeros, zeros)[0][order])
            xs = np.concatenate(sides, axis=-1)
        np.testing.assert_allclose(found[:length, row : row + 1], xs, rtol=1e-12, atol=1e-14)
        assert not found[length:, row].any()


def test_the_oracle_of_training_agrees_with_adam_written_out() -> None:
    """Gradients by central differences of ours in NumPy would be slow: those of the gate's oracle, step by step."""
    case = Case(2, 3, 4, 5)
    problem = draw(case)
    weights = {name: value.astype(np.float64) for name, value in problem.params.items()}
    first, second = ({name: np.zeros_like(value) for name, value in weights.items()} for _ in range(2))
    zeros = np.zeros((case.batch, case.hidden_size))
    for step in range(1, 4):
        params = {name.removesuffix("_l0"): value for name, value in weights.items()}
        ys, _, _, tapes = numpy_oracle.layer(params, problem.xs, zeros, zeros)
        error = 2 * (ys - problem.targets) / ys.size
        d_params = numpy_oracle.layer_backward(params, tapes, error, zeros, zeros)[0]
        for name in weights:
            d = d_params[name.removesuffix("_l0")]
            first[name] = 0.9 * first[name] + 0.1 * d
            second[name] = 0.999 * second[name] + 0.001 * d**2
            scale = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            weights[name] = weights[name] - 1e-3 * first[name] / (1 - 0.9**step) / scale
    found = oracle(case, TRAINING)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        np.testing.assert_allclose(found[f"update of {name}"], weights[name] - problem.params[name], rtol=1e-9)
    both = sum(weights[name] - problem.params[name] for name in ("bias_ih_l0", "bias_hh_l0"))
    np.testing.assert_allclose(found["update of bias_l0"], both, rtol=1e-9)


def test_one_bias_trains_otherwise_and_the_gate_sees_it() -> None:
    two, one = oracle(STREAMED, TRAINING), oracle(STREAMED, TRAINING, biases=1)
    assert "off by" in fault(one, two)
    np.testing.assert_allclose(2 * one["update of bias_l0"], two["update of bias_l0"], rtol=0.1, atol=1e-4)
    wrong = {"flax": Contender(CONTENDERS["flax"].build, "", biases=2)}
    assert "off by" in admit(lineup(wrong, STREAMED), TRAINING).failed["flax"]


@pytest.mark.parametrize("factor", [1 + 2 * UPDATES, np.nan])
def test_training_that_moves_otherwise_fails(factor: float) -> None:
    expected = oracle(STREAMED, TRAINING)
    for name in expected:
        assert fault(expected | {name: expected[name] * factor}, expected).startswith(f"{name}: off by")


def test_what_cannot_be_offered_is_told_apart_from_what_fails() -> None:
    def broken(problem: Problem) -> Any:
        raise RuntimeError("out of order")

    contenders = {
        BASELINE: CONTENDERS[BASELINE],
        "broken": Contender(broken, ""),
        "picky": Contender(broken, "", refuses=lambda case: "too small"),
        "slow": Contender(broken, "", slow=9.0),
        "partial": Contender(lambda problem: {}, "", lacks="it only looks"),
    }
    works, failed, not_offered = admit(lineup(contenders, STREAMED, {"slow": "no time"}), FORWARD)
    assert list(works) == [BASELINE]
    assert failed == {"broken": "RuntimeError: out of order"}
    assert not_offered == {"picky": "too small", "slow": "no time", "partial": "it only looks"}


def test_a_gpu_is_needed_where_it_is_needed() -> None:
    absent = CONTENDERS["cudnn"].absent()
    assert absent.startswith("it needs a gpu: pip install")


def test_cases() -> None:
    assert CASES.keys() - ENGINE_CASES.keys() == {
        "streaming", "long", "two layers", "bidirectional", "unequal lengths"
    }  # fmt: skip
    assert CASES["two layers"].shape == "32,64,32,128, 2 layers"
    single = 2.0 * 4 * 3 * 24 * (5 + 6)
    assert Case(3, 4, 5, 6).flops == single
    assert DEEP.flops == 2 * single + 2 * 2.0 * 4 * 3 * 24 * (12 + 6)
    assert UNEQUAL.lengths is not None
    assert UNEQUAL.flops == single * UNEQUAL.lengths.sum() / 12
    drawn = draw(UNEQUAL)
    assert drawn.valid is not None
    assert not drawn.targets[~drawn.valid].any()
    assert drawn.targets[drawn.valid].all()
