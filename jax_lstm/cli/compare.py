"""`jax-lstm compare`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jax_lstm.checks import require_extra
from jax_lstm.cli import pictures, show
from jax_lstm.cli.options import new_directory, of_task, value_of
from jax_lstm.compare import CompareConfig, Comparison, compare
from jax_lstm.compare.config import BOTH, IN_MEMORY, LEFT_OUT, default, upgraded
from jax_lstm.compare.run import METRICS_TORCH
from jax_lstm.data import DataConfig
from jax_lstm.tasks import load_task
from jax_lstm.train import InterruptedRunError, ModelConfig, OptimConfig, TrainConfig
from jax_lstm.train.config import absolute, read_config
from jax_lstm.train.directory import CONFIG, METRICS

GROUPS = ("data", "text", "sequences", "model", "optim")


@dataclass(frozen=True)
class Compare:
    """Train in JAX and in PyTorch from the same weights on the same batches; compare results and speed.
    `jax-lstm compare` or `compare forecast` forecasts series; there are also `compare text` and `compare labels`, each
    with its own --help.
    """

    compare: CompareConfig = field(default_factory=CompareConfig)
    out: str = ""
    """New run directory; runs/compare-DATE-TIME if not given."""
    config: str = ""
    """JSON file of options, as the config.json of a comparison; command-line options override it."""

    @classmethod
    def with_files(cls, task: str, arguments: Sequence[str]) -> "Compare":
        """The defaults: the options of `--config` if it is given, else those of the task."""
        path = value_of("--config", arguments)
        if not path:
            return cls(CompareConfig(default(task or "forecast")))  # type: ignore[arg-type]
        config = read_config(CompareConfig(), path, upgraded)
        return of_task(cls(config), config.train, task, "--config", path)

    @property
    def task(self) -> str:
        return self.compare.train.task

    @staticmethod
    def left_out(owner: type, field: str) -> str:
        if owner is DataConfig:
            return IN_MEMORY if field in ("stream", "epoch_windows", "eval_windows") else ""
        supported = owner not in (TrainConfig, ModelConfig, OptimConfig) or field in GROUPS or field in BOTH
        return "" if supported else LEFT_OUT

    def run(self, console: Console) -> int:
        config = replace(self.compare, train=absolute(self.compare.train))
        require_extra("torch", "torch", "compare")
        # Full float32 on accelerators too: TF32 would exceed the tolerances.
        with jax.enable_x64(config.train.x64), jax.default_matmul_precision("highest"):
            task = load_task(config.train)
            directory = new_directory(self.out, "compare")
            show.data_and_model(console, [(task, 1)])
            try:
                with show.progress(console) as report:
                    comparison = compare(config, task, directory, report)
            except InterruptedRunError as error:
                message = f"interrupted; {directory} holds the results so far; run compare again"
                raise InterruptedRunError(message, error.signum) from None
        console.print(_agreement(comparison))
        if not comparison.agreed:
            console.print("[bold red]the frameworks disagree[/]: nothing was timed or trained")
            console.print(f"run directory [bold]{escape(str(directory))}[/]: {CONFIG}, compare.json")
            return 1
        console.print(_throughput(comparison, task.unit))
        console.print(_payback(comparison))
        if comparison.scores:
            show.scores_table(console, task, comparison.scores, comparison.part)
            show.further(console, task.table(comparison.predictions["JAX"], comparison.part))
        written = [CONFIG, METRICS, METRICS_TORCH, "checkpoints", "compare.json"]
        logs = {"JAX": directory / METRICS, "PyTorch": directory / METRICS_TORCH}
        drawings = {pictures.LOSSES: lambda: pictures.loss_curves(directory, logs, show.loss_name(task))}
        if comparison.scores and config.train.task == "forecast":
            own = comparison.predictions
            drawings[pictures.FORECASTS] = lambda: pictures.forecasts(directory, task, comparison.part, own)
        written += pictures.drawn(console, drawings)
        console.print(f"run directory [bold]{escape(str(directory))}[/]: {', '.join(written)}")
        return 0


def _agreement(comparison: Comparison) -> Table:
    shown = show.table("agreement of JAX with PyTorch")
    shown.add_column("largest difference in")
    for name in ("absolute", "relative", "tolerance", ""):
        shown.add_column(name, justify="right")
    for check in comparison.checks:
        verdict = "[green]pass[/]" if check.passed else "[bold red]FAIL[/]"
        numbers = (f"{check.absolute:.1e}", f"{check.relative:.1e}", f"{check.tolerance:.0e}")
        shown.add_row(escape(check.name), *numbers, verdict)
    return shown


def _throughput(comparison: Comparison, unit: str) -> Table:
    shown = show.table("throughput: medians of interleaved samples over the same batches")
    shown.add_column("")
    frameworks = ("JAX", "PyTorch")
    headings = [f"{name}\n{what}/s" for what in (unit, "batches") for name in frameworks]
    for name in (*headings, "JAX / PyTorch", "compile"):
        shown.add_column(name, justify="right")
    for name, speed in (("training", comparison.training), ("inference", comparison.inference)):
        if speed is not None:
            items = [f"{speed.items_per_second(framework):,.0f}" for framework in frameworks]
            calls = [f"{speed.calls_per_second(framework):,.1f}" for framework in frameworks]
            shown.add_row(name, *items, *calls, f"{speed.ratio:.2f}", f"{speed.compile_seconds:.2f} s")
    return shown


def _payback(comparison: Comparison) -> str:
    if comparison.payback is None:
        return "compile time is not paid back: JAX is not faster per epoch here"
    return f"JAX's compile time is paid back after {comparison.payback:,.1f} epochs of training"
