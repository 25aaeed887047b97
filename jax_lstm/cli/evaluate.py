"""`jax-lstm evaluate`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from jax_lstm.checks import require
from jax_lstm.cli import show
from jax_lstm.cli.options import absolute, data_from
from jax_lstm.files import write_json
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.evaluation import as_json, evaluate, part_of
from jax_lstm.train.config import arithmetic


@dataclass(frozen=True)
class Evaluate:
    """Score a trained model beside baselines: of forecasts persistence, seasonal-naive and a linear model."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train or compare."""
    csv: str = ""
    """Other data to score it on, standardised as the training data was; the run's own if not given."""
    part: Literal["train", "val", "test"] | None = None
    """Part of the data; test, or val where there is no test part, if not given."""
    split: str = ""
    """Split of the data; the run's own if not given."""
    out: str = ""
    """JSON file for the scores; none if not given."""

    def run(self, console: Console) -> int:
        run = open_run(self.run_directory)
        config = run.config
        if config.task == "forecast":
            data = data_from(run, self.csv or config.data.csv)
            data = replace(data, split=self.split or data.split)
            config = absolute(replace(config, data=data))
        else:
            given, of = self.csv or self.split, f"be left out, since the run is of --task {config.task}"
            require(not given, "--csv and --split", of, given)
        with arithmetic(config):
            task = load_task(config, run.about)
            part = self.part or part_of(task) or "test"
            require(task.size(part) > 0, "--part", "be one that the data has", repr(part))
            found = evaluate(run, task, part)
        show.left_out(console, run.diverged)
        show.scores_table(console, task, found.scores, part)
        show.spread(console, task, found.scores, run.names)
        show.sheet(console, task.further(found.predictions, part))
        if self.out:
            write_json(Path(self.out), as_json(task, found, part))
        return 0
