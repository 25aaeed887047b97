"""`jax-lstm train`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape

from jax_lstm.checks import InputError
from jax_lstm.cli import pictures, show
from jax_lstm.cli.options import absolute, new_directory, value_of
from jax_lstm.data import Dataset, load_dataset
from jax_lstm.files import write_json
from jax_lstm.train import InterruptedRunError, Progress, TrainConfig, fit, open_run
from jax_lstm.train.config import read_config, to_dict
from jax_lstm.train.loop import CONFIG, METRICS, require_resumable, saved_config
from jax_lstm.train.optimizer import make_optimizer
from jax_lstm.train.scores import baseline_forecasts, score, truth_of


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

    @classmethod
    def given(cls, arguments: Sequence[str]) -> "Train":
        config, resume = value_of("--config", arguments), value_of("--resume", arguments)
        if config and resume:
            raise InputError("`--resume` must come without --config, since a run has its own; got both")
        if resume:
            return cls(saved_config(Path(resume)))
        return cls(read_config(TrainConfig, config)) if config else cls()

    def run(self, console: Console) -> int:
        config = replace(self.train, data=absolute(self.train.data))
        with jax.enable_x64(config.x64):
            if self.resume:
                if self.out:
                    raise InputError(f"`--out` must be left out with --resume, which writes to its run; got {self.out}")
                require_resumable(config, Path(self.resume))
            dataset = load_dataset(config.data, np.dtype(config.dtype))
            make_optimizer(
                config.optim, 1, {"weight": np.zeros((1, 1), np.float32)}
            )  # refuses what cannot be used before anything is written
            directory = Path(self.resume) if self.resume else new_directory(self.out, "train")
            write_json(directory / CONFIG, to_dict(config))
            show.data_and_model(console, config, dataset)
            with show.progress(console) as bar:

                def report(progress: Progress) -> None:
                    bar("training", progress.position.step, config.epochs * progress.steps_per_epoch)
                    if progress.epoch_ended:
                        val = "" if progress.val_loss is None else f", validation loss {progress.val_loss:.4f}"
                        epoch = f"epoch {progress.position.epoch}/{config.epochs}"
                        console.print(f"{epoch}: training loss {progress.train_loss:.4f}{val}", highlight=False)

                try:
                    result = fit(config, dataset, directory, resume=bool(self.resume), report=report)
                except InterruptedRunError as error:
                    raise InterruptedRunError(f"{error}; go on with: jax-lstm train --resume {directory}") from None
            if result.stopped_early:
                console.print(f"stopped early: no better validation loss for {config.patience} epochs")
            self._finish(console, directory, dataset)
        return 0

    def _finish(self, console: Console, directory: Path, dataset: Dataset) -> None:
        written = ["metrics.jsonl", "checkpoints"]
        part = "test" if len(dataset.starts["test"]) else "val"
        if len(dataset.starts[part]):
            truth, scaler = truth_of(dataset, part), dataset.scaler.pick(dataset.target)
            ours = {"LSTM": open_run(directory).forecast(dataset.inputs, dataset.starts[part])}
            scores = {
                name: score(values, truth, scaler)
                for name, values in (ours | baseline_forecasts(dataset, part)).items()
            }
            write_json(directory / "scores.json", {"part": part, "scores": scores})
            written.append("scores.json")
            show.scores_table(console, scores, dataset.target, "validation" if part == "val" else part)
            if pictures.drawn(console, lambda: pictures.forecasts(directory, dataset, part, ours)):
                written.append(pictures.FORECASTS)
        if pictures.drawn(console, lambda: pictures.loss_curves(directory, {"JAX": METRICS})):
            written.append(pictures.LOSSES)
        console.print(f"run directory [bold]{escape(str(directory))}[/]: {CONFIG}, {', '.join(written)}")
