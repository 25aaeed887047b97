"""`jax-lstm train`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import InputError, require
from jax_lstm.cli import pictures, show
from jax_lstm.cli.options import new_directory, of_python, of_task, value_of
from jax_lstm.cli.progress import reporting
from jax_lstm.files import write_json
from jax_lstm.tasks import finish, load_task
from jax_lstm.tasks.evaluation import as_json, evaluate, part_of
from jax_lstm.tasks.verdict import training_warnings
from jax_lstm.train import DivergedError, InterruptedRunError, Sweep, TrainConfig, Trainer, hosts
from jax_lstm.train.config import absolute, arithmetic, read_config
from jax_lstm.train.directory import CONFIG, METRICS, saved_config
from jax_lstm.train.sweep import MEMBERS


@dataclass(frozen=True)
class Train:
    """Train a model in JAX, without PyTorch: `train` or `train forecast` a forecaster, `train text` a language model,
    `train labels` a classifier of sequences. Each has its own --help.
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    out: str = ""
    """New run directory; runs/train-DATE-TIME if not given."""
    config: str = ""
    """JSON file of options, as the config.json of a run; command-line options override it."""
    resume: str = ""
    """Run directory to resume, with the options of that run; a larger --epochs continues training."""
    distributed: bool = False
    """Train on several hosts that all run this command; detected under SLURM, Open MPI and on Cloud TPU."""
    coordinator: str = ""
    """If the hosts are not detected automatically: HOST:PORT of the first process."""
    num_processes: int = 0
    """With --coordinator, the number of processes."""
    process_id: int = -1
    """With --coordinator, the number of this process, from 0."""
    tensorboard: bool = False
    """Also write metrics for TensorBoard to the run directory."""
    profile: int = 0
    """Trace this many steps after the first call, for Perfetto or TensorBoard, to the run directory."""
    debug_nans: bool = False
    """If the loss becomes NaN or infinite, report the step and tensor where it began; slower."""

    @classmethod
    def with_files(cls, task: str, arguments: Sequence[str]) -> "Train":
        """The defaults: the options of `--config` or `--resume` if one is given, else those of the task."""
        config, resume = value_of("--config", arguments), value_of("--resume", arguments)
        if config and resume:
            raise InputError("`--resume` must come without --config, since a run has its own; got both")
        if not (config or resume):
            return cls(TrainConfig(task or "forecast"))  # type: ignore[arg-type]
        train = saved_config(Path(resume)) if resume else read_config(TrainConfig(), config)
        if resume and of_python(train):
            how = "only a run on a file can be resumed; call `fit` again, with more epochs"
            raise InputError(f"{resume}: the run was trained from Python and has no file; {how}")
        return of_task(cls(train), train, task, "--resume" if resume else "--config", resume or config)

    @property
    def task(self) -> str:
        return self.train.task

    @staticmethod
    def left_out(owner: type, field: str) -> str:
        return ""

    def run(self, console: Console) -> int:
        config = absolute(self.train)
        several = self.distributed or self.coordinator or self.num_processes or self.process_id >= 0
        if several:
            hosts.start(self.coordinator, self.num_processes, self.process_id)
            named = bool(self.out or self.resume)
            require(named, "--out", "name a directory that all hosts see, with several processes", "nothing")
        if self.resume and self.out:
            raise InputError(f"`--out` must be left out with --resume, which writes to its run; got {self.out}")
        console = console if hosts.writes() else Console(quiet=True)
        with arithmetic(config):
            directory = Path(self.resume or self.out)
            if hosts.writes() and not self.resume:
                directory = new_directory(self.out, "train")
            sweep = Sweep(load_task(config), directory, resume=bool(self.resume), debug_nans=self.debug_nans)
            longer = self.resume and _longer(sweep)
            show.data_and_model(console, [(one.task, len(one.members)) for one in sweep.trainers.values()])
            show.notes(console, (longer,) if longer else (), ())
            try:
                with sweep.opened():
                    learnt = [self._fit(console, name, trainer) for name, trainer in sweep.trainers.items()]
            except InterruptedRunError as error:
                how = f"{error}; resume with: jax-lstm train --resume {directory}"
                raise InterruptedRunError(how, error.signum) from None
            if not any(learnt):
                raise DivergedError("the loss of every member became NaN or infinite; try a lower --learning-rate")
            if hosts.writes():
                _finish(console, sweep)
            hosts.wait("end")
        return 0

    def _fit(self, console: Console, name: str, trainer: Trainer) -> bool:
        """Train the members of one shape; whether one of them did not diverge."""
        if name:
            console.print(f"[bold]{name}[/]", highlight=False)
        tensorboard = self.tensorboard and hosts.writes()
        with reporting(console, trainer, tensorboard=tensorboard, profile=self.profile) as report:
            result = trainer.fit(report)
        if all(one.diverged for one in result.position.members):
            console.print(f"[yellow]warning:[/] the loss of every member with {name} became NaN or infinite")
            return False
        if result.stopped_early:
            console.print(f"stopped early: no lower validation error for {trainer.config.patience} epochs")
        return True


def _longer(sweep: Sweep) -> str:
    """Says that a resumed run goes on with the rates of a run of another length, if so."""
    now, before = sweep.task.config, saved_config(sweep.directory)
    schedule = now.optim.schedule
    if schedule in ("auto", "constant") or now.epochs == before.epochs:
        return ""
    return (
        f"the {schedule} schedule is now that of {now.epochs} epochs, not {before.epochs}: the learning rate jumps, so "
        f"the result is not that of a run of {now.epochs} epochs"
    )


def _finish(console: Console, sweep: Sweep) -> None:
    """Score the run, draw its pictures, and say what was written."""
    task: Any = sweep.task
    directory = sweep.directory
    written = [CONFIG, METRICS, "checkpoints" if "" in sweep.trainers else MEMBERS]
    part, drawings = part_of(task), {}
    if part:
        run = finish(directory, task)
        found = evaluate(run, task, part)
        write_json(directory / "scores.json", as_json(task, found, part))
        written.append("scores.json")
        show.notes(console, (), training_warnings(run, task, task.baselines("val") if task.size("val") else {}))
        show.evaluation(console, run, task, found, part)
        if task.config.task == "forecast":
            predictions = {"LSTM": found.predictions}
            drawings[pictures.FORECASTS] = lambda: pictures.forecasts(directory, task, part, predictions)
    logs = {name or "JAX": trainer.directory / METRICS for name, trainer in sweep.trainers.items()}
    drawings[pictures.LOSSES] = lambda: pictures.loss_curves(directory, logs, show.loss_name(task))
    written += pictures.drawn(console, drawings)
    console.print(f"run directory [bold]{escape(str(directory))}[/]: {', '.join(written)}")
