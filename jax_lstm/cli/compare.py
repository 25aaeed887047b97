"""`jax-lstm compare`, the main job."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jax_lstm.checks import require_extra
from jax_lstm.cli import pictures, show
from jax_lstm.cli.options import absolute, new_directory, value_of
from jax_lstm.compare import CompareConfig, Comparison, compare
from jax_lstm.compare.run import METRICS_TORCH
from jax_lstm.files import write_json
from jax_lstm.tasks import load_task
from jax_lstm.tasks.scores import baseline_forecasts
from jax_lstm.train import InterruptedRunError
from jax_lstm.train.config import read_config, to_dict
from jax_lstm.train.loop import CONFIG, METRICS


@dataclass(frozen=True)
class Compare:
    """Train in JAX and in PyTorch from the same weights on the same batches; compare numbers and speed."""

    compare: CompareConfig = field(default_factory=CompareConfig)
    out: str = ""
    """Run directory to make; runs/compare-DATE-TIME if not given."""
    config: str = ""
    """JSON file of options, as the config.json of a comparison; options on the command line go before it."""

    @classmethod
    def given(cls, arguments: Sequence[str]) -> "Compare":
        config = value_of("--config", arguments)
        return cls(read_config(CompareConfig, config)) if config else cls()

    def run(self, console: Console) -> int:
        config = absolute(self.compare)
        require_extra("torch", "torch", "compare")
        # On an accelerator too float32 is float32: TF32 would part from PyTorch by more than the tolerances.
        with jax.enable_x64(config.x64), jax.default_matmul_precision("highest"):
            task = load_task(config.training())
            directory = new_directory(self.out, "compare")
            write_json(directory / CONFIG, to_dict(config))
            show.data_and_model(console, task.config, task)
            try:
                with show.progress(console) as report:
                    comparison = compare(config, task, directory, report)
            except InterruptedRunError as error:
                left = f"interrupted; {directory} holds what there was; run compare again"
                raise InterruptedRunError(left, error.signum) from None
        console.print(_agreement(comparison))
        if not comparison.agreed:
            console.print("[bold red]the frameworks disagree[/]: nothing was timed or trained")
            console.print(f"run directory [bold]{escape(str(directory))}[/]: {CONFIG}, compare.json")
            return 1
        console.print(_throughput(comparison, task.unit))
        console.print(_payback(comparison))
        if comparison.scores:
            show.scores_table(console, task, comparison.scores, comparison.part)
            show.sheet(console, task.further(comparison.predictions["JAX"], comparison.part))
        written = [CONFIG, METRICS, METRICS_TORCH, "checkpoints", "compare.json"]
        logs = {"JAX": METRICS, "PyTorch": METRICS_TORCH}
        if pictures.drawn(console, lambda: pictures.loss_curves(directory, logs, show.loss_name(task))):
            written.append(pictures.LOSSES)
        if comparison.scores and config.task == "forecast":
            drawn = comparison.predictions | {"linear": baseline_forecasts(task.dataset, comparison.part)["linear"]}
            if pictures.drawn(console, lambda: pictures.forecasts(directory, task.dataset, comparison.part, drawn)):
                written.append(pictures.FORECASTS)
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
    shown = show.table("throughput: medians of samples taken in turns, over the same batches")
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
        return "compile time is not paid back here: an epoch takes JAX no less time than PyTorch"
    return f"JAX's compile time is paid back after {comparison.payback:,.1f} epochs of training"
