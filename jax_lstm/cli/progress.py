"""Reports during training: progress bar, a line per epoch, TensorBoard, profiler trace."""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from jax_lstm.checks import require_extra
from jax_lstm.cli import show
from jax_lstm.train import Progress, Trainer
from jax_lstm.train.task import Task
from jax_lstm.train.trainer import Report

TENSORBOARD, PROFILE = "tensorboard", "profile"
QUIET = 30.0  # seconds without a line, after which progress within an epoch is printed in a file or pipe


@contextmanager
def reporting(console: Console, trainer: Trainer, *, tensorboard: bool, profile: int) -> Iterator[Report]:
    """One function for `Trainer.fit` to report to."""
    with ExitStack() as stack:
        reports = [_printed(console, trainer.task, stack.enter_context(show.progress(console)))]
        if tensorboard:
            reports.append(stack.enter_context(_tensorboard(trainer.directory / TENSORBOARD, trainer.names)))
        if profile:
            reports.append(stack.enter_context(_profiled(trainer.directory / PROFILE, profile)))

        def report(progress: Progress) -> None:
            for each in reports:
                each(progress)

        yield report


def _printed(console: Console, task: Task, bar: Any) -> Report:
    began, steps = time.perf_counter(), 0
    printed = began
    per_step = task.shape[-1] * task.per_row
    epochs = task.config.epochs

    def report(progress: Progress) -> None:
        nonlocal began, steps, printed
        position, total = progress.position, epochs * progress.steps_per_epoch
        if steps == 0 and progress.steps:
            began, steps = time.perf_counter(), -progress.steps  # the first call compiles, so it is not counted
        steps += progress.steps
        speed = max(steps, 0) * per_step * len(position.members) / max(time.perf_counter() - began, 1e-9)
        facts = [f"loss {progress.train_loss:.4f}"]
        facts += [f"{speed:,.0f} {task.unit}/s"] if speed else []
        facts += [memory] if (memory := device_memory()) else []
        long = not progress.epoch_ended and time.perf_counter() - printed > QUIET
        if console.is_terminal or long:
            bar("training", position.step, total, ", ".join(facts))
        if progress.epoch_ended:
            rate = f", {speed:,.0f} {task.unit}/s" if speed else ""
            console.print(f"{progress.of_epoch(epochs)}{rate}", highlight=False)
            printed = time.perf_counter()

    return report


def device_memory() -> str:
    """Memory in use and available on the first device; "" if it is not reported."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_in_use" not in stats:
        return ""
    limit = f" of {stats['bytes_limit'] / 2**30:.1f}" if "bytes_limit" in stats else ""
    return f"{stats['bytes_in_use'] / 2**30:.1f}{limit} GiB"


@contextmanager
def _tensorboard(directory: Path, names: list[str]) -> Iterator[Report]:
    writer = require_extra("tensorboardX", "log", "--tensorboard").SummaryWriter(str(directory))

    def report(progress: Progress) -> None:
        part = "epoch" if progress.epoch_ended else "steps"
        for at, name in enumerate(names):
            values = {f"training loss, {part}": progress.train_losses[at]}
            values |= {"gradient norm": progress.grad_norms[at]} if progress.grad_norms else {}
            scores = progress.scores[at] if progress.scores else {}
            values |= {f"validation {score}": value for score, value in scores.items()}
            for heading, value in values.items():
                if not math.isnan(value):  # a member that has stopped
                    writer.add_scalar(f"{heading}/{name}" if name else heading, value, progress.position.step)

    try:
        yield report
    finally:
        writer.close()


@contextmanager
def _profiled(directory: Path, steps: int) -> Iterator[Report]:
    """Start a trace after the first call, which compiles, and stop it after the call that completes `steps`."""
    left, running = steps, False

    def report(progress: Progress) -> None:
        nonlocal left, running
        if progress.epoch_ended or left <= 0:
            return
        if not running:
            jax.profiler.start_trace(str(directory))
            running = True
            return
        left -= progress.steps
        if left <= 0:
            jax.profiler.stop_trace()
            running = False

    try:
        yield report
    finally:
        if running:
            jax.profiler.stop_trace()
