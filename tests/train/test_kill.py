"""A run that is killed outright and resumed ends with the very weights of one that was not: with a real process."""

from pathlib import Path

import pytest
from processes import assert_killing_changes_nothing

from jax_lstm.data import DataConfig


@pytest.mark.parametrize("dropout", ["0", pytest.param("0.2", marks=pytest.mark.slow)])
def test_killed_and_resumed_is_bit_identical(data: DataConfig, tmp_path: Path, dropout: str) -> None:
    sizes = ["--window", str(data.window), "--horizon", str(data.horizon), "--hidden-size", "4", "--num-layers", "2"]
    run = ["--dropout", dropout, "--epochs", "8", "--batch-size", "8", "--chunk-steps", "5", "--schedule", "cosine"]
    command = ["train", "--csv", data.csv, "--target", "a", "--split", "0.8,0.2,0", *sizes, *run, "--out"]
    assert_killing_changes_nothing(lambda out: [*command, str(out)], tmp_path)
