"""The gate: its oracle is right, every contender passes, and one that computes something else does not."""

from typing import Any

import jax
import numpy as np
import oracle as numpy_oracle
import pytest

from benchmarks.cases import Case, Problem, draw
from benchmarks.contenders import BASELINE, CONTENDERS
from benchmarks.contenders.base import BACKWARD, FORWARD, STREAMING, TRAINING, Contender, Runner, loss_scale
from benchmarks.gate import admit, fault, lineup, oracle
from benchmarks.timed import operations

FLAT, DEEP = Case(3, 4, 5, 6), Case(3, 4, 5, 6, num_layers=2, bidirectional=True)
UNEQUAL, STREAMED = Case(3, 4, 5, 6, unequal=True), Case(2, 3, 5, 6, streamed=True)
SERVED = ((DEEP, TRAINING), (UNEQUAL, FORWARD), (UNEQUAL, BACKWARD), (STREAMED, STREAMING))


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


def test_the_oracle_of_gradients_and_training_agrees_with_numpy() -> None:
    """With three steps of Adam written out; an update of the bias is the sum of PyTorch's two."""
    problem, zeros = draw(FLAT), np.zeros((FLAT.batch, FLAT.hidden_size))
    weights = {name.removesuffix("_l0"): value.astype(np.float64) for name, value in problem.params.items()}
    ys, _, _, tapes = numpy_oracle.layer(weights, problem.xs, zeros, zeros)
    scale = loss_scale(problem) * 2 / ys.size
    d_params, d_xs, _, _ = numpy_oracle.layer_backward(weights, tapes, scale * ys, zeros, zeros)
    wanted = {"outputs": ys, "gradient of inputs": d_xs, "gradient of bias_l0": d_params["bias_hh"]}
    wanted |= {f"gradient of {name}_l0": d_params[name] for name in ("weight_ih", "weight_hh")}

    moved, first, second = ({name: np.zeros_like(value) for name, value in weights.items()} for _ in range(3))
    for step in range(1, 4):
        now = {name: weights[name] + moved[name] for name in weights}
        ys, _, _, tapes = numpy_oracle.layer(now, problem.xs, zeros, zeros)
        d_params = numpy_oracle.layer_backward(now, tapes, 2 * (ys - problem.targets) / ys.size, zeros, zeros)[0]
        for name, d in d_params.items():
            first[name] = 0.9 * first[name] + 0.1 * d
            second[name] = 0.999 * second[name] + 0.001 * d**2
            width = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            moved[name] = moved[name] - 1e-3 * first[name] / (1 - 0.9**step) / width
    wanted |= {f"update of {name}_l0": moved[name] for name in ("weight_ih", "weight_hh")}
    wanted["update of bias_l0"] = moved["bias_ih"] + moved["bias_hh"]

    found = oracle(FLAT, FORWARD) | oracle(FLAT, BACKWARD) | oracle(FLAT, TRAINING)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-14, err_msg=name)


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
    expected = oracle(FLAT, measure)
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
