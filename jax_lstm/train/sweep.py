"""A sweep over sizes: the members of each shape are a run in a directory of their own, below that of the sweep."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from jax_lstm.files import write_whole
from jax_lstm.train import hosts
from jax_lstm.train.directory import CONFIG, METRICS, require_resumable, saved_config, write_config
from jax_lstm.train.ensemble import groups
from jax_lstm.train.lock import locked
from jax_lstm.train.task import Task
from jax_lstm.train.trainer import Trainer

MEMBERS = "members"


def directories(directory: Path) -> list[Path]:
    """The run directories of a sweep over sizes, or the run `directory` itself."""
    if not (directory / MEMBERS).is_dir():
        return [directory]
    return [_own(directory, name) for name in groups(saved_config(directory))]


def _own(directory: Path, name: str) -> Path:
    return directory / MEMBERS / name if name else directory


class Sweep:
    """The trainers of a run by name, one for each shape of its members; without a sweep over sizes a single one, "".

    All are made, and so checked, before the first one trains. The arguments are those of `Trainer`.
    """

    def __init__(self, task: Task, directory: Path, *, resume: bool = False, debug_nans: bool = False):
        self.task, self.directory = task, directory
        if resume:
            require_resumable(task.config, directory)
        self.trainers: dict[str, Trainer] = {}
        configs = groups(task.config)
        for name, config in configs.items():
            own = _own(directory, name)
            again = resume and (own / CONFIG).exists()  # else its turn had not come
            part = task if config == task.config else replace(task, config=config)  # type: ignore[type-var]
            alone = len(configs) == 1
            self.trainers[name] = Trainer(part, own, resume=again, debug_nans=debug_nans, alone=alone)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Lock the directory and write its config; at the end collect the metrics of all members."""
        if "" in self.trainers:  # the trainer does so itself
            yield
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory) if hosts.writes() else nullcontext():
            if hosts.writes():
                write_config(self.directory, self.task.config)
            hosts.wait("sweep")
            yield
            if hosts.writes():
                logs = [(trainer.directory / METRICS).read_bytes() for trainer in self.trainers.values()]
                write_whole(self.directory / METRICS, b"".join(logs))
