"""`jax-lstm evaluate`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from jax_lstm.checks import require
from jax_lstm.cli import show
from jax_lstm.files import write_json
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.evaluation import as_json, evaluate, part_of
from jax_lstm.train.config import absolute, arithmetic


@dataclass(frozen=True)
class Evaluate:
    """Score a trained model beside baselines."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train or compare."""
    csv: str = ""
    """Other data for a forecaster, standardised as the training data was; the run's own if not given."""
    part: Literal["train", "val", "test"] | None = None
    """Part of the data; test if not given, or val if there is no test part."""
    split: str = ""
    """Split of a forecaster's data; the run's own if not given."""
    out: str = ""
    """Write the scores to this JSON file."""

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory)
        config = run.config
        if config.task == "forecast":
            data = run.data_config(self.csv)
            data = replace(data, split=self.split or data.split)
            config = absolute(replace(config, data=data))
        else:
            given, expected = self.csv or self.split, f"be left out for a run of the task {config.task}"
            require(not given, "--csv and --split", expected, given)
        with arithmetic(config):
            task = load_task(config, run.about)
            part = self.part or part_of(task) or "test"
            require(task.size(part) > 0, "--part", "be one that the data has", repr(part))
            found = evaluate(run, task, part)
        show.evaluation(console, run, task, found, part)
        if self.out:
            write_json(Path(self.out), as_json(task, found, part))
        return 0
