"""`jax-lstm evaluate`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import jax
import numpy as np
import tyro
from rich.console import Console

from jax_lstm.checks import InputError
from jax_lstm.cli import show
from jax_lstm.cli.options import absolute
from jax_lstm.data import load_dataset
from jax_lstm.files import write_json
from jax_lstm.train import open_run
from jax_lstm.train.scores import baseline_forecasts, score, truth_of


@dataclass(frozen=True)
class Evaluate:
    """Score a trained model beside persistence, seasonal-naive and a linear model."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train or compare."""
    csv: str = ""
    """Other data to score it on, standardised as the training data was; the run's own if not given."""
    part: Literal["train", "val", "test"] = "test"
    """Part of the data."""
    split: str = ""
    """Split of the data; the run's own if not given."""
    out: str = ""
    """JSON file for the scores; none if not given."""

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory)
        data = run.config.data
        if self.csv:
            data = absolute(replace(data, csv=self.csv, features=run.features, target=run.target))
        data = replace(data, split=self.split or data.split)
        with jax.enable_x64(run.config.x64):
            dataset = load_dataset(data, np.dtype(run.config.dtype), run.scaler)
            if not len(dataset.starts[self.part]):
                raise InputError(
                    f"`--part` must have windows; got {self.part!r} of the split {data.split}, which has none"
                )
            truth, scaler = truth_of(dataset, self.part), run.scaler.pick(run.target)
            forecasts = {"LSTM": run.forecast(dataset.inputs, dataset.starts[self.part])}
        forecasts |= baseline_forecasts(dataset, self.part)
        scores = {name: score(values, truth, scaler) for name, values in forecasts.items()}
        show.scores_table(console, scores, run.target, self.part)
        if self.out:
            write_json(Path(self.out), {"part": self.part, "scores": scores})
        return 0
