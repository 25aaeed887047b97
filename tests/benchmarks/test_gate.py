"""The gate: every contender passes, whose code is independent of its oracle, and one that is off does not."""

from typing import Any

import jax
import numpy as np
import pytest

from benchmarks.core.cases import Case, Problem, draw
from benchmarks.core.contenders import BASELINE, CONTENDERS, OURS
from benchmarks.core.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING, Contender, Runner
from benchmarks.core.gate import admit, fault, lineup, oracle
from benchmarks.core.measure import operations
from jax_lstm.kernels.auto import KERNELS

FLAT, DEEP = Case(3, 4, 5, 6), Case(3, 4, 5, 6, num_layers=2, bidirectional=True)
UNEQUAL, STREAMED = Case(3, 4, 5, 6, unequal=True), Case(2, 3, 5, 6, streamed=True)
SERVED = ((DEEP, TRAINING), (UNEQUAL, FORWARD), (UNEQUAL, BACKWARD), (STREAMED, STREAMING))


@pytest.mark.parametrize("name", [name for name, contender in CONTENDERS.items() if not contender.absent()])
def test_contenders_pass(name: str) -> None:
    contender = CONTENDERS[name]
    for case, measure in ((STREAMED, BACKWARD),) if contender.slow else SERVED:
        works, failed, not_offered = admit(lineup({name: contender}, case), measure)
        assert not failed
        if not works:
            assert not_offered[name] in {contender.refuses(case), contender.lacks} - {""}
            continue
        works[name].run()
        works[name].run()  # calls leave no trace in the results
        biases = contender.biases if measure == TRAINING else 2
        assert not fault(works[name].results(), oracle(case, measure, biases))


def test_who_serves_what() -> None:
    refusing = {name for name, contender in CONTENDERS.items() if contender.refuses(UNEQUAL)}
    assert refusing == {"equinox", "torch cell", "torch compile cell"}
    assert not any(contender.refuses(DEEP) for contender in CONTENDERS.values())
    assert OURS.keys() == KERNELS.keys() - {"reference", "cudnn", "pallas", "parallel", "plain"}


def test_a_compiled_cell_is_compiled_beside_what_cannot_be() -> None:
    """PyTorch breaks the graph at its LSTM, and remembers that. If this fails, it no longer does: mend the docs."""
    names = ("torch compile", "torch compile cell")
    works = admit(lineup({name: CONTENDERS[name] for name in names}, STREAMED), BACKWARD).works
    assert works["torch compile"].note() == "nothing compiled: runs eagerly"
    assert works["torch compile cell"].note().endswith("graphs compiled")


def test_one_bias_trains_otherwise_and_the_gate_sees_it() -> None:
    wrong = {"flax": Contender(CONTENDERS["flax"].build, "", biases=2)}
    assert "off by" in admit(lineup(wrong, STREAMED), TRAINING).failed["flax"]


@pytest.mark.parametrize(
    ("measure", "dtype", "passes"),
    [(FORWARD, "float32", 4e-6), (FORWARD, "bfloat16", 2e-2), (BACKWARD, "float32", 1e-5), (TRAINING, "float32", 8e-3)],
)
def test_every_result_is_looked_at(measure: str, dtype: str, passes: float) -> None:
    expected, of = oracle(FLAT, measure), ("weight_ih_l0", "weight_hh_l0", "bias_l0")
    assert (
        expected.keys()
        == {
            FORWARD: {"outputs"},
            BACKWARD: {"gradient of inputs", *(f"gradient of {name}" for name in of)},
            TRAINING: {f"update of {name}" for name in of},
        }[measure]
    )
    for name, value in expected.items():
        assert not fault(expected | {name: value * (1 + passes)}, expected, dtype)
        for wrong, said in ((value * (1 + 3 * passes), "off by"), (value * np.nan, "off by inf"), (value[1:], "shape")):
            assert fault(expected | {name: wrong}, expected, dtype).startswith(f"{name}: {said}")


def test_who_fails_is_told_apart_from_who_is_not_offered() -> None:
    def off(problem: Problem) -> Runner:
        work = CONTENDERS[BASELINE].build(problem)[BACKWARD]
        return {BACKWARD: work._replace(results=lambda: {name: 1.001 * x for name, x in work.results().items()})}

    def broken(problem: Problem) -> Any:
        raise RuntimeError("out of order\nand more")

    contenders = {
        BASELINE: CONTENDERS[BASELINE],
        "off": Contender(off, ""),
        "broken": Contender(broken, ""),
        "picky": Contender(broken, "", refuses=lambda case: "too small"),
        "slow": Contender(broken, "", slow=9.0),
        "partial": Contender(lambda problem: {}, "", lacks="it only looks"),
    }
    works, failed, not_offered = admit(lineup(contenders, STREAMED, {"slow": "no time"}), BACKWARD)
    assert list(works) == [BASELINE]
    assert failed == {
        "off": "gradient of inputs: off by 1.0e-03, more than 2e-05", "broken": "RuntimeError: out of order"
    }  # fmt: skip
    assert not_offered == {"picky": "too small", "slow": "no time", "partial": "it only looks"}
    gone = Contender(broken, "", packages=("no-such-package",), install="pip install it")
    assert gone.absent() == "no-such-package not installed: pip install it"


@pytest.mark.parametrize("measure", [FORWARD, BACKWARD, TRAINING])
def test_a_call_in_jax_ends_when_its_results_are_there(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work, waited = CONTENDERS["scan"].build(draw(FLAT))[measure], []
    monkeypatch.setattr(jax, "block_until_ready", lambda tree: waited.append(jax.tree.leaves(tree)) or tree)
    work.run()
    assert len(waited) == 1
    assert len(waited[0]) >= (3 if measure == FORWARD else 5)  # outputs and state; loss and gradients


def test_operations() -> None:
    """In each of 4 steps 2 * B * 4H * (I + H), and twice as much for gradients, less those by x in training."""
    single, by_inputs = 4 * 2.0 * 3 * 24 * (5 + 6), 4 * 2.0 * 3 * 24 * 5
    found = [operations(FLAT, measure) for measure in (FORWARD, BACKWARD, TRAINING)]
    assert found == [single, 3 * single, 3 * single - by_inputs]
    assert DEEP.flops == 2 * single + 2 * 4 * 2.0 * 3 * 24 * (12 + 6)
    drawn = draw(UNEQUAL)
    assert drawn.lengths is not None
    assert drawn.valid is not None
    assert UNEQUAL.flops == single * drawn.lengths.sum() / 12
    assert np.array_equal(drawn.targets != 0, np.broadcast_to(drawn.valid[..., None], drawn.targets.shape))
