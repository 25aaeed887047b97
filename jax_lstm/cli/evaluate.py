"""`jax-lstm evaluate`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from jax_lstm.checks import InputError, require
from jax_lstm.cli import show
from jax_lstm.cli.options import of_python
from jax_lstm.files import write_json
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.evaluation import as_json, evaluate, part_of
from jax_lstm.tasks.text_scores import Dynamics, cold_score, dynamic_score
from jax_lstm.train.config import absolute, arithmetic
from jax_lstm.train.task import Scores


@dataclass(frozen=True)
class Evaluate:
    """Score a trained model beside baselines."""

    run_directory: Annotated[Path, tyro.conf.Positional]
    """Run directory of train or compare."""
    csv: str = ""
    """Other data for a forecaster, standardised as the training data was; the run's own if not given."""
    part: Literal["train", "val", "test"] | None = None
    """Part of the data; test if not given, or val if there is no test part."""
    cold: int | None = None
    """Of a language model, also score random windows of this many characters, each from the zero state, as nanoGPT
    does."""
    dynamic: float | None = None
    """Of a language model, also score by dynamic evaluation at this rate, as 1e-4: the weights follow the text."""
    decay: float = Dynamics(0).decay
    """With --dynamic, how fast the weights go back to the trained ones."""
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
            if of_python(config):
                name = "TextModel" if config.task == "text" else "SequenceClassifier"
                how = f"in Python, use the `score` of {name}.load({str(self.run_directory)!r})"
                raise InputError(f"{self.run_directory}: the run was trained from Python and has no file; {how}")
        for name, value in (("--cold", self.cold), ("--dynamic", self.dynamic)):
            of_text = config.task == "text" or value is None
            require(of_text, name, f"come with a run of the task text, not {config.task}", value)
        with_dynamic = self.dynamic is not None or self.decay == Dynamics(0).decay
        require(with_dynamic, "--decay", "come with --dynamic", self.decay)
        with arithmetic(config):
            task = load_task(config, run.about)
            part = self.part or part_of(task) or "test"
            require(task.size(part) > 0, "--part", "be one that the data has", repr(part))
            found = evaluate(run, task, part, self._further(run, task, part))
        if config.task == "forecast":
            show.notes(console, (), task.dataset.warnings)
        show.evaluation(console, run, task, found, part)
        if self.out:
            write_json(Path(self.out), as_json(task, found, part))
        return 0

    def _further(self, run: Any, task: Any, part: str) -> dict[str, Scores]:
        """The scores of text that were asked for, by name."""
        found: dict[str, Scores] = {}
        if self.cold is not None:
            found[f"windows of {self.cold}"] = cold_score(run, task, part, self.cold)
        if self.dynamic is not None:
            found["dynamic"] = dynamic_score(run, task, part, Dynamics(self.dynamic, self.decay))
        return found
