"""Checkpoints: there and back bit for bit; every damage is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_lstm import InputError
from jax_lstm.tasks.models import sequence_model
from jax_lstm.train import ModelConfig, TrainConfig, checkpoint
from jax_lstm.train.checkpoint import has_checkpoint, read_about, restore_arrays, save_checkpoint
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.step import init_state


def state_of(hidden_size: int = 5, seed: int = 0, optimizer: str = "adam") -> Any:
    config = TrainConfig(model=ModelConfig(hidden_size, 2, dropout=0.1), seed=seed)
    model = sequence_model(config, 3, 2)
    return init_state(
        model, make_optimizer(replace(config.optim, optimizer=optimizer), 10, nnx.state(model, nnx.Param))
    )


def bits(tree: Any) -> list[np.ndarray]:
    leaves = jax.tree.leaves(tree)
    return [np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x) for x in leaves]


def test_there_and_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ck", 7, state_of(seed=3), {"a": [1, None, "b"]})
    assert read_about(tmp_path / "ck") == (7, {"a": [1, None, "b"]})
    for got, expected in zip(bits(restore_arrays(tmp_path / "ck", 7, state_of())), bits(state_of(seed=3)), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, state_of(), {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["2", "3"]


def test_any_truncated_file_is_found(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, state_of(), {"a": 1})
    files = [path for path in (tmp_path / "1").rglob("*") if path.is_file() and path.stat().st_size > 1]
    assert len(files) > 3
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match="the checkpoint is damaged"):
            read_about(tmp_path)
        path.unlink()
        with pytest.raises(InputError, match=r"damaged|no checkpoint here"):
            read_about(tmp_path)
        path.write_bytes(whole)
    assert read_about(tmp_path)[0] == 1


def test_one_that_was_not_finished_does_not_count(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, state_of(), {})
    save_checkpoint(tmp_path, 2, state_of(), {})
    (tmp_path / "2" / "SHA256SUMS").unlink()
    assert read_about(tmp_path)[0] == 1
    save_checkpoint(tmp_path, 2, state_of(seed=1), {})  # the resumed run comes to that step again
    assert read_about(tmp_path)[0] == 2
    np.testing.assert_array_equal(bits(restore_arrays(tmp_path, 2, state_of()))[1], bits(state_of(seed=1))[1])


def test_one_that_was_not_finished_costs_no_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run saves at an earlier step than the one at which it was killed while it saved."""
    for step in (5, 10, 20):
        save_checkpoint(tmp_path, step, state_of(), {})
    (tmp_path / "20" / "SHA256SUMS").unlink()
    save_checkpoint(tmp_path, 13, state_of(), {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["10", "13"]

    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_whole", full)
    with pytest.raises(InputError, match="No space left on device; that of step 13 is complete"):
        save_checkpoint(tmp_path, 15, state_of(), {})
    assert read_about(tmp_path)[0] == 13


def test_nothing_there(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path / "none")
    with pytest.raises(InputError, match="no checkpoint here"):
        read_about(tmp_path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        pytest.param({"hidden_size": 6}, r"must be float32\[.*\]; got float32\[.*\]", marks=pytest.mark.slow),
        ({"optimizer": "sgd"}, "it has an unknown"),
    ],
)
def test_another_model_is_named(tmp_path: Path, other: dict[str, Any], message: str) -> None:
    save_checkpoint(tmp_path, 1, state_of(), {})
    with pytest.raises(InputError, match=f"the checkpoint is of another model: .*{message}"):
        restore_arrays(tmp_path, 1, state_of(**other))
