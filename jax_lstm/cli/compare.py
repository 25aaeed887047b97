"""`jax-lstm compare`, the main job."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jax_lstm.checks import require_extra
from jax_lstm.cli import pictures, show
from jax_lstm.cli.options import absolute, new_directory, value_of
from jax_lstm.compare import CompareConfig, Comparison, compare
from jax_lstm.compare.run import FORECAST_BATCH, METRICS_TORCH
from jax_lstm.data import load_dataset
from jax_lstm.files import write_json
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
        config = replace(self.compare, data=absolute(self.compare.data))
        require_extra("torch", "torch", "compare")
        with jax.enable_x64(config.x64):
            dataset = load_dataset(config.data, np.dtype(config.training().dtype))
            directory = new_directory(self.out, "compare")
            write_json(directory / CONFIG, to_dict(config))
            show.data_and_model(console, config.training(), dataset)
            try:
                with show.progress(console) as report:
                    comparison = compare(config, dataset, directory, report)
            except InterruptedRunError:
                raise InterruptedRunError(f"interrupted; {directory} holds what there was; run compare again") from None
        console.print(_agreement(comparison))
        if not comparison.agreed:
            console.print("[bold red]the frameworks disagree[/]: nothing was timed or trained")
            console.print(f"run directory [bold]{escape(str(directory))}[/]: {CONFIG}, compare.json")
            return 1
        console.print(_throughput(comparison))
        console.print(_payback(comparison))
        if comparison.scores:
            show.scores_table(console, comparison.scores, dataset.target, "test")
        written = [CONFIG, METRICS, METRICS_TORCH, "checkpoints", "compare.json"]
        if pictures.drawn(console, lambda: pictures.loss_curves(directory, {"JAX": METRICS, "PyTorch": METRICS_TORCH})):
            written.append(pictures.LOSSES)
        if comparison.scores:
            ours = {name: comparison.forecasts[name] for name in ("JAX", "PyTorch", "linear")}
            if pictures.drawn(console, lambda: pictures.forecasts(directory, dataset, "test", ours)):
                written.append(pictures.FORECASTS)
        console.print(f"run directory [bold]{escape(str(directory))}[/]: {', '.join(written)}")
        return 0


def _agreement(comparison: Comparison) -> Table:
    table = show.table("agreement of JAX with PyTorch")
    table.add_column("largest difference in")
    for name in ("absolute", "relative", "tolerance", ""):
        table.add_column(name, justify="right")
    for check in comparison.checks:
        verdict = "[green]pass[/]" if check.passed else "[bold red]FAIL[/]"
        numbers = (f"{check.absolute:.1e}", f"{check.relative:.1e}", f"{check.tolerance:.0e}")
        table.add_row(escape(check.name), *numbers, verdict)
    return table


def _throughput(comparison: Comparison) -> Table:
    table = show.table(f"throughput: medians of samples taken in turns; an inference step is {FORECAST_BATCH} windows")
    table.add_column("")
    for name in (
        "JAX\nwindows/s",
        "PyTorch\nwindows/s",
        "JAX\nsteps/s",
        "PyTorch\nsteps/s",
        "JAX / PyTorch",
        "compile",
    ):
        table.add_column(name, justify="right")
    rows = (("training", comparison.training), ("inference", comparison.inference))
    for name, speed in rows:
        if speed is not None:
            windows = [f"{speed.windows_per_second(framework):,.0f}" for framework in ("JAX", "PyTorch")]
            calls = [f"{speed.calls_per_second(framework):,.1f}" for framework in ("JAX", "PyTorch")]
            table.add_row(name, *windows, *calls, f"{speed.ratio:.2f}", f"{speed.compile_seconds:.2f} s")
    return table


def _payback(comparison: Comparison) -> str:
    if comparison.payback is None:
        return "compile time is not paid back here: an epoch takes JAX no less time than PyTorch"
    return f"JAX's compile time is paid back after {comparison.payback:,.1f} epochs of training"
