"""What all estimators share: parameters, fitting in a run directory, saving and loading."""

import difflib
import inspect
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np

from jax_lstm.checks import InputError, require_bool
from jax_lstm.estimators.names import on_command_line, python_names
from jax_lstm.tasks import finish, open_run
from jax_lstm.tasks.evaluation import evaluate, part_of
from jax_lstm.tasks.run import Run
from jax_lstm.tasks.verdict import Verdict, verdict
from jax_lstm.train.config import Option, TaskName, TrainConfig, arithmetic, options, with_options
from jax_lstm.train.directory import require_empty
from jax_lstm.train.signals import InterruptedRunError
from jax_lstm.train.sweep import Sweep
from jax_lstm.train.task import Task
from jax_lstm.train.trainer import Progress, Report

PathLike = str | os.PathLike[str]


class NotFittedError(InputError, AttributeError):
    """A method that needs a fitted estimator was called before `fit`. Also an `AttributeError`, so `hasattr` works."""


class Estimator:
    """What all estimators share. Parameters are the options of the command line, as keywords and attributes.

    They are checked at once. `fit` trains in a run directory that the commands can read too; without one of its own it
    is temporary, and goes when the estimator does. With `verbose` it prints the losses of each epoch.
    """

    verbose: bool
    task: ClassVar[TaskName]
    left_out: ClassVar[tuple[str, ...]] = ()  # options that are no parameters, as those that name the data

    def __init_subclass__(cls) -> None:
        cls.__signature__ = inspect.Signature(keywords(cls.defaults()))  # type: ignore[attr-defined]  # for help()

    def __init__(self, **params: Any):
        self._run: Any = None
        self._directory = Path()
        self._temporary: TemporaryDirectory[str] | None = None
        self._task: Task | None = None
        vars(self).update(self.defaults())
        self.set_params(**params)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Every parameter with its default.

        Example:
            >>> import jax_lstm as jl
            >>> jl.TextModel.defaults()["hidden_size"]
            64
        """
        of_run = {each.name: each.default for each in cls._options(TrainConfig(task=cls.task))}
        return {**of_run, "verbose": False}

    @classmethod
    def _options(cls, config: TrainConfig) -> list[Option]:
        """The options of `config` that are parameters."""
        own = (each for each in options(config) if each.only is None or cls.task in each.only.tasks)
        return [each for each in own if each.name not in ("task", *cls.left_out)]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; `deep` is there for scikit-learn.

        Example:
            >>> import jax_lstm as jl
            >>> jl.TextModel(hidden_size=32).get_params()["hidden_size"]
            32
        """
        return {name: getattr(self, name) for name in self.defaults()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters; the next `fit` uses them.

        Raises:
            InputError: there is no such parameter, or its value cannot be used; nothing is changed.

        Example:
            >>> import jax_lstm as jl
            >>> jl.TextModel(epochs=3).set_params(dropout=0.2)
            TextModel(dropout=0.2, epochs=3)
        """
        known = self.defaults()
        for name in params:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                fix = f"did you mean {near[0]}?" if near else f"the parameters are {', '.join(known)}"
                raise InputError(f"{type(self).__name__} has no parameter `{name}`; {fix}")
        self._config(self.get_params() | params)
        vars(self).update(params)  # as they were given, which scikit-learn's `clone` asks for
        return self

    def __repr__(self) -> str:
        known = self.defaults()
        changed = (f"{name}={value!r}" for name, value in self.get_params().items() if value != known[name])
        return f"{type(self).__name__}({', '.join(changed)})"

    @python_names()
    def _config(self, params: dict[str, Any]) -> TrainConfig:
        """The options of a run with these parameters."""
        require_bool("verbose", params["verbose"])
        values = {name: _plain(value) for name, value in params.items()}
        return with_options(TrainConfig(task=self.task), values, self.task)

    @python_names()
    def _fit(self, load: Callable[[TrainConfig], Task], directory: PathLike | None) -> Self:
        """Train on the data that `load` gives, in `directory` or in a temporary one."""
        temporary = None
        if directory is None:
            temporary = TemporaryDirectory(prefix="jax-lstm-")
            directory = temporary.name
        where = require_empty(Path(directory), "directory").absolute()
        config = self._config(self.get_params())
        with arithmetic(config):
            try:
                task = load(config)
                for warning in task.warnings:
                    warnings.warn(warning, stacklevel=5)
                sweep = Sweep(task, where)
                with sweep.opened():
                    for name, trainer in sweep.trainers.items():
                        trainer.fit(*([_printing(task.config.epochs, name)] if self.verbose else []))
            except InterruptedRunError as error:
                raise KeyboardInterrupt(str(error)) from None
        self._run, self._directory, self._temporary, self._task = finish(where, task), where, temporary, task
        return self

    @property
    def run(self) -> Any:
        """The run that `fit` or `load` left, a `jax_lstm.tasks.run.Run`; its `model()` is the network.

        Example:
            >>> import jax_lstm as jl
            >>> model = jl.TextModel(hidden_size=4, steps=8, epochs=1).fit("one two three four " * 20)
            >>> type(model.run.model()).__name__
            'LanguageModel'
        """
        if self._run is None:
            name = type(self).__name__
            raise NotFittedError(
                f"this {name} is not fitted; call `fit` first, or open a run by {name}.load(directory)"
            )
        return self._run

    @property
    def directory(self) -> Path:
        """The run directory, a `pathlib.Path`, which the commands can read too.

        Example:
            >>> import jax_lstm as jl
            >>> model = jl.TextModel(hidden_size=4, steps=8, epochs=1).fit("one two three four " * 20)
            >>> (model.directory / "config.json").exists()
            True
        """
        return self.run and self._directory

    @property
    def verdict(self) -> Verdict | None:
        """Whether the model that `fit` trained is better than the best baseline, on the test part; None without one.

        `print` it, or read its `better`, `tie` (they differ by less than 1 %), `score`, `baseline`, `baseline_score`
        and `few` ("18 test windows", if there are fewer than 100).

        Raises:
            NotFittedError: it was not trained here, so there is no data to score it on.

        Example:
            >>> import jax_lstm as jl
            >>> model = jl.TextModel(hidden_size=4, steps=8, epochs=1).fit("one two three four " * 20)
            >>> model.verdict.better  # than 4-grams, after one epoch
            False
        """
        run = self.run
        if self._task is None:
            raise NotFittedError("there is no `verdict` on a loaded estimator; call `fit`, or `jax-lstm evaluate`")
        part = part_of(self._task)
        with arithmetic(self._task.config):
            return verdict(self._task, evaluate(run, self._task, part), part) if part else None

    def save(self, directory: PathLike) -> None:
        """Copy the run to a new directory, for `load` and for the commands.

        Args:
            directory: the directory, which is made.

        Raises:
            InputError: there are files in it already, or the estimator is not fitted.

        Example:
            >>> import jax_lstm as jl
            >>> model = jl.TextModel(hidden_size=4, steps=8, epochs=1).fit("one two three four " * 20)
            >>> model.save("numbers")
            >>> jl.TextModel.load("numbers").generate("one ") == model.generate("one ")
            True
        """
        shutil.copytree(self.directory, require_empty(Path(directory), "directory"), dirs_exist_ok=True)

    @classmethod
    @python_names()
    def load(cls, directory: PathLike) -> Self:
        """Open a run of this task, from `save` or the command line, with its options as parameters.

        Args:
            directory: the run directory.

        Raises:
            InputError: there is no such run, it is damaged, or it is of another task.

        Example:
            >>> import jax_lstm as jl
            >>> model = jl.TextModel(hidden_size=4, steps=8, epochs=1).fit("one two three four " * 20)
            >>> jl.TextModel.load(model.directory).get_params()["steps"]
            8
        """
        home = Path(directory)
        run: Run = open_run(home, cls.task, "this command" if on_command_line() else cls.__name__)
        found = cls(**{each.name: each.value for each in cls._options(run.config)})
        found._run, found._directory = replace(run, directory=run.directory.absolute()), home.absolute()
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Parameters and the files of the run, so that copies and pickles do not depend on its directory."""
        files = {} if self._run is None else _files(self.directory)
        return {"params": self.get_params(), "files": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        type(self).__init__(self, **state["params"])
        if state["files"]:
            self._temporary = TemporaryDirectory(prefix="jax-lstm-")
            for name, content in state["files"].items():
                path = Path(self._temporary.name, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._directory = Path(self._temporary.name)
            self._run = open_run(self._directory, self.task)

    def __sklearn_is_fitted__(self) -> bool:
        return self._run is not None


def keywords(defaults: Mapping[str, Any]) -> list[inspect.Parameter]:
    """Keyword parameters of a signature."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(name, keyword, default=value) for name, value in defaults.items()]


def _printing(epochs: int, name: str) -> Report:
    """Print a line after each epoch; `name` is that of a model of a sweep over sizes."""

    def report(progress: Progress) -> None:
        if progress.epoch_ended:
            print(f"{name} {progress.of_epoch(epochs)}".strip(), flush=True)

    return report


def _files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's, and sequences as lists, as the options in a file are."""
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value
