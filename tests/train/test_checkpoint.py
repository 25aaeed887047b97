"""Checkpoints: there and back bit for bit; every damage is named."""

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

STATE = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.int32(7)}


def state_of(seed: int) -> Any:
    """All that a run keeps, a random key among it."""
    config = TrainConfig(model=ModelConfig(5, 2, dropout=0.1), seed=seed)
    model = sequence_model(config, 3, 2)
    return init_state(model, make_optimizer(config.optim, 10, nnx.state(model, nnx.Param)))


def bits(tree: Any) -> list[np.ndarray]:
    leaves = jax.tree.leaves(tree)
    return [np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x) for x in leaves]


def test_there_and_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "ck", 7, state := state_of(3), {"a": [1, None, "b"]})
    assert read_about(tmp_path / "ck") == (7, {"a": [1, None, "b"]})
    for got, expected in zip(bits(restore_arrays(tmp_path / "ck", 7, state_of(0))), bits(state), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


def test_any_truncated_file_is_found(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path / "none")
    save_checkpoint(tmp_path, 1, STATE, {"a": 1})
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


def test_the_last_two_whole_ones_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run saves at an earlier step than the one at which it was killed while it saved, or at the same."""
    for step in (5, 10, 20):
        save_checkpoint(tmp_path, step, STATE, {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["10", "20"]
    (tmp_path / "20" / "SHA256SUMS").unlink()
    assert read_about(tmp_path)[0] == 10
    save_checkpoint(tmp_path, 13, STATE, {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["10", "13"]
    (tmp_path / "13" / "SHA256SUMS").unlink()
    other = {**STATE, "weight": -STATE["weight"]}
    save_checkpoint(tmp_path, 13, other, {})
    np.testing.assert_array_equal(restore_arrays(tmp_path, 13, STATE)["weight"], other["weight"])

    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_whole", full)
    with pytest.raises(InputError, match="No space left on device; that of step 13 is complete"):
        save_checkpoint(tmp_path, 15, STATE, {})
    assert read_about(tmp_path)[0] == 13


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({**STATE, "weight": np.zeros((2, 4), np.float32)}, r"must be float32\[.*\]; got float32\[.*\]"),
        ({"step": STATE["step"]}, "it has an unknown"),
    ],
)
def test_another_model_is_named(tmp_path: Path, other: Any, message: str) -> None:
    save_checkpoint(tmp_path, 1, STATE, {})
    with pytest.raises(InputError, match=f"the checkpoint is of another model: .*{message}"):
        restore_arrays(tmp_path, 1, other)
