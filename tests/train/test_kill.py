"""A run that is killed outright and resumed ends with the very weights of one that was not: with a real process."""

from pathlib import Path

import pytest
from processes import assert_killing_changes_nothing

from jax_lstm.data import DataConfig

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "options",
    [[], pytest.param(["--dropout", "0.2"], marks=SLOW), pytest.param(["--sweep", "hidden_size=4,3"], marks=SLOW)],
    ids=["plain", "dropout", "sizes"],
)
def test_killed_and_resumed_is_bit_identical(data: DataConfig, tmp_path: Path, options: list[str]) -> None:
    sizes = ["--window", str(data.window), "--horizon", str(data.horizon), "--hidden-size", "4", "--num-layers", "2"]
    run = [*options, "--epochs", "8", "--batch-size", "8", "--chunk-steps", "5", "--schedule", "cosine"]
    command = ["train", "--csv", data.csv, "--target", "a", "--split", "0.8,0.2,0", *sizes, *run, "--out"]
    assert_killing_changes_nothing(lambda out: [*command, str(out)], tmp_path)
