"""`jax-lstm train`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import InputError, require
from jax_lstm.cli import pictures, show
from jax_lstm.cli.options import absolute, new_directory, value_of
from jax_lstm.cli.progress import watched
from jax_lstm.files import write_json
from jax_lstm.tasks import load_task, open_run
from jax_lstm.tasks.evaluation import as_json, evaluate, part_of
from jax_lstm.train import InterruptedRunError, TrainConfig, hosts
from jax_lstm.train.config import read_config, to_dict
from jax_lstm.train.ensemble import members, named
from jax_lstm.train.loop import CONFIG, METRICS, fit_held, held, require_resumable, saved_config, usable_mesh
from jax_lstm.train.optimizer import make_optimizer


@dataclass(frozen=True)
class Train:
    """Train a model in JAX; needs no PyTorch."""

    train: TrainConfig = field(default_factory=TrainConfig)
    out: str = ""
    """Run directory to make; runs/train-DATE-TIME if not given."""
    config: str = ""
    """JSON file of options, as the config.json of a run; options on the command line go before it."""
    resume: str = ""
    """Run directory to go on in, with its own options; a larger --epochs trains on."""
    distributed: bool = False
    """Train on several hosts, each with this command: SLURM, Open MPI and Cloud TPU tell where the others are."""
    coordinator: str = ""
    """Where nobody tells: HOST:PORT of the first process."""
    num_processes: int = 0
    """With --coordinator, how many processes there are."""
    process_id: int = -1
    """With --coordinator, which one this is, from 0."""
    tensorboard: bool = False
    """Write the metrics for TensorBoard too, into the run directory."""
    profile: int = 0
    """Write a trace of so many steps, after the first call, for Perfetto or TensorBoard into the run directory."""
    debug_nans: bool = False
    """Where the loss becomes NaN or infinite, say in which step and in which tensor first; slower."""

    @classmethod
    def given(cls, arguments: Sequence[str]) -> "Train":
        config, resume = value_of("--config", arguments), value_of("--resume", arguments)
        if config and resume:
            raise InputError("`--resume` must come without --config, since a run has its own; got both")
        if resume:
            return cls(saved_config(Path(resume)))
        return cls(read_config(TrainConfig, config)) if config else cls()

    def run(self, console: Console) -> int:
        config = absolute(self.train)
        several = self.distributed or self.coordinator or self.num_processes or self.process_id >= 0
        if several:
            hosts.start(self.coordinator, self.num_processes, self.process_id)
            where = bool(self.out or self.resume)
            require(where, "--out", "name the run directory, which all hosts see, with several processes", "nothing")
        console = console if hosts.writes() else Console(quiet=True)
        with jax.enable_x64(config.x64), jax.default_matmul_precision(config.matmul_precision):
            if self.resume:
                if self.out:
                    raise InputError(f"`--out` must be left out with --resume, which writes to its run; got {self.out}")
                require_resumable(config, Path(self.resume))
            # What cannot be used is refused before anything is written.
            for run in members(config):
                make_optimizer(run.optim, 1, {"weight": np.zeros((1, 1), np.float32)})
            task = load_task(config)
            usable_mesh(task, self.debug_nans)
            directory = Path(self.resume or self.out)
            if hosts.writes() and not self.resume:
                directory = new_directory(self.out, "train")
            with held(directory):
                if hosts.writes():
                    write_json(directory / CONFIG, to_dict(config))
                hosts.wait("directory")
                self._fit(console, directory, task)
                if hosts.writes():
                    self._finish(console, directory, task)
            hosts.wait("end")
        return 0

    def _fit(self, console: Console, directory: Path, task: Any) -> None:
        config = task.config
        show.data_and_model(console, config, task)
        watching = watched(
            console,
            task,
            directory,
            names=[named(config, run) for run in members(config)],
            tensorboard=self.tensorboard and hosts.writes(),
            profile=self.profile,
        )
        with watching as report:
            try:
                result = fit_held(task, directory, resume=bool(self.resume), debug_nans=self.debug_nans, report=report)
            except InterruptedRunError as error:
                how = f"{error}; go on with: jax-lstm train --resume {directory}"
                raise InterruptedRunError(how, error.signum) from None
        if result.stopped_early:
            console.print(f"stopped early: no better validation loss for {config.patience} epochs")

    def _finish(self, console: Console, directory: Path, task: Any) -> None:
        written = ["metrics.jsonl", "checkpoints"]
        part = part_of(task)
        if part:
            run = open_run(directory)
            found, names = evaluate(run, task, part), run.names
            write_json(directory / "scores.json", as_json(task, found, part))
            written.append("scores.json")
            show.left_out(console, run.diverged)
            show.scores_table(console, task, found.scores, part)
            show.spread(console, task, found.scores, names)
            show.sheet(console, task.further(found.predictions, part))
            if task.config.task == "forecast" and pictures.drawn(
                console, lambda: pictures.forecasts(directory, task.dataset, part, {"LSTM": found.predictions})
            ):
                written.append(pictures.FORECASTS)
        if pictures.drawn(console, lambda: pictures.loss_curves(directory, {"JAX": METRICS}, show.loss_name(task))):
            written.append(pictures.LOSSES)
        console.print(f"run directory [bold]{escape(str(directory))}[/]: {CONFIG}, {', '.join(written)}")
