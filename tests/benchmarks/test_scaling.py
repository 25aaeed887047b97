"""`python -m benchmarks scaling`: counts of exchanges by hand, and of what is compiled and lowered. No times."""

import json
import re
from pathlib import Path

import jax
import pytest

from benchmarks.__main__ import main
from benchmarks.device import topology
from benchmarks.jit.anatomy import products
from benchmarks.scaling import command, step
from benchmarks.scaling.command import large, small
from benchmarks.scaling.links import LINKS, least
from benchmarks.scaling.rows import Row, Size
from jax_lstm.checks import InputError, MissingExtraError
from jax_lstm.train.mesh import DATA, MODEL

TINY = Size(8, 1, 5, 2)
NEWER = tuple(map(int, jax.__version__.split(".")[:2])) > (0, 10)  # of 0.12 at least, whose XLA sends twice as much


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(step.rows(TINY, [(1, 1), (256, 1), (2, 2)]))


def test_flops_are_those_of_the_program(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in the jaxpr too; the lowest layer's inputs are an embedding, whose gradient is a product as well."""
    mesh = jax.sharding.Mesh([[jax.devices()[0]]], (DATA, MODEL))
    monkeypatch.setenv("JAX_LSTM_BACKEND", "scan")  # whose products are in the jaxpr
    run, arguments = step.program(TINY, mesh)
    counted = products(run.trace(*arguments).jaxpr.jaxpr)
    assert counted == step.CALLS * step.flops(TINY)
    assert all(row.flops == step.flops(TINY) for row in rows)


def test_over_data_only_gradients_and_the_loss_cross(rows: list[Row]) -> None:
    alone, row, _ = rows
    assert alone.exchanges == []
    assert alone.held == alone.parameters
    assert {each["kind"] for each in row.exchanges} == {"all-reduce"}
    assert {each["times"] for each in row.exchanges} == {step.CALLS}
    twice = 4 * 4 * TINY.hidden_size  # the gradients of the two biases are the same, and cross once
    assert sum(each["bytes"] for each in row.exchanges) == row.parameters - twice + 4
    assert row.sent == pytest.approx(2 * 255 / 256 * (row.parameters - twice + 4))
    embedding, lstm, fc = 256 * 8, 4 * 8 * (8 + 8 + 2), 256 * 9
    assert row.parameters == 4 * (embedding + lstm + fc)


def test_with_model_nothing_crosses_at_a_time_step(rows: list[Row]) -> None:
    """Parameters come together and gradients go apart over `model`, and over `data` each device's part is reduced."""
    row = rows[2]
    assert {"all-gather", "reduce-scatter", "all-reduce"} == {each["kind"] for each in row.exchanges}
    assert max(each["times"] for each in row.exchanges) == step.CALLS
    assert row.held == row.parameters / 2
    # Of P bytes half go and half come over `model`; of the half that is left, half goes and half comes over `data`.
    least = row.parameters * (1 / 2 + 1 / 2 + 1 / 2)
    assert row.sent == pytest.approx(least, rel=0.02) or (NEWER and least < row.sent < 2.1 * least)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_it_lowers_for_256_devices_that_are_not_there(rows: list[Row], platform: str) -> None:
    """With as many reductions as the program that XLA compiled for CPU has, and the bias that it sees twice."""
    text = step.lowered(TINY, 256, 1, platform)
    assert "num_partitions = 256" in text
    assert len(re.findall(r"stablehlo\.all_reduce", text)) == 1 + sum(each["arrays"] for each in rows[1].exchanges)
    assert "num_partitions = 256" in step.lowered(TINY, 32, 8, platform)


def test_meshes_and_least_times() -> None:
    assert small(6) == [(1, 1), (2, 1), (4, 1)]
    assert large(256)[:4] == [(8, 1), (32, 1), (128, 1), (256, 1)]
    assert large(256)[-1] == (32, 8)
    assert large(4) == [(4, 1), (2, 2), (1, 4)]
    assert min(link.bandwidth for link in LINKS) == 50e9  # of the slowest, 400 Gb/s
    assert least(1e9, LINKS[-1]) == 0.02


def test_the_command_makes_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SMALL", TINY)
    monkeypatch.setattr(command, "large", lambda most: [])
    path = tmp_path / "scaling.json"
    assert main(["scaling", "--most", "2", "--out", str(path)]) == 0
    assert [(row["data"], row["model"]) for row in json.loads(path.read_text())["rows"]] == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "`--compile-for` must name devices, such as v5e:2x4 or h100:8"),
        ("h100:0", "`--compile-for` must name devices"),
        ("v5e:2x4", r'pip install "jax-lstm\[tpu-compile\]"'),
        ("h100:8", r'pip install "jax-lstm\[cuda-compile\]"'),
    ],
)
def test_no_such_devices_or_no_compiler(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "find_spec", lambda module: None)
    topology.described.cache_clear()
    with pytest.raises((InputError, MissingExtraError), match=message):
        topology.described(name)
