"""What the commands print: the data, the model, tables of scores, progress."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import jax
from flax import nnx
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jax_lstm.data import Dataset
from jax_lstm.train import TrainConfig
from jax_lstm.train.scores import Scores
from jax_lstm.train.step import build_model, epoch_batches


def data_and_model(console: Console, config: TrainConfig, dataset: Dataset) -> None:
    """The data, what is missing from it, and the model; warnings last."""
    data = dataset.config
    series = f" of {len(dataset.first_rows)} series" if len(dataset.first_rows) > 1 else ""
    shapes = jax.eval_shape(lambda: nnx.state(build_model(config, dataset.input_size, dataset.output_size), nnx.Param))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    windows = " / ".join(f"{len(dataset.starts[part]):,}" for part in ("train", "val", "test"))
    calls, steps, batch_size = epoch_batches(dataset.starts["train"], config, 0).shape
    missing = ", ".join(f"{name} {count:,}" for name, count in dataset.missing_values.items())
    gaps = "none"
    if dataset.absent_rows or missing:
        gaps = (
            f"{dataset.absent_rows:,} rows absent; values missing: {missing or 'none'}; filled by the last value seen, "
        )
        gaps += f"never used as targets ({dataset.dropped_windows:,} windows left out)"
    features = "1 feature" if dataset.input_size == 1 else f"{dataset.input_size} features"
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    facts.add_row("data", escape(f"{data.csv or 'New York weather, 2013'}: {dataset.rows:,} rows{series}"))
    facts.add_row("", escape(f"{features} ({', '.join(dataset.features)}), target {', '.join(dataset.target)}"))
    facts.add_row("", f"window {data.window}, horizon {data.horizon}; split {data.split}: {windows} windows")
    facts.add_row("gaps", gaps)
    sizes = f"{dataset.input_size} > {config.model.hidden_size} x {config.model.num_layers} > {dataset.output_size}"
    facts.add_row("model", f"LSTM {sizes}, {parameters:,} parameters, {config.dtype}")
    facts.add_row("training", f"{config.epochs} epochs of {calls * steps:,} batches of {batch_size}")
    console.print(facts)
    for warning in dataset.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")


def table(title: str) -> Table:
    """An empty table in the one style of this program."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def scores_table(console: Console, scores: Mapping[str, Scores], target: tuple[str, ...], part: str) -> None:
    """MSE and MAE of each forecaster, on the standardised scale and on that of each target."""
    quality = table(f"quality on the {part} part: mean squared and mean absolute error")
    quality.add_column("forecast by")
    for name in ("MSE", "MAE"):
        quality.add_column(f"{name}\nstandardised", justify="right")
    for column in target:
        for name in ("MSE", "MAE"):
            quality.add_column(f"{name}\n{escape(column)}", justify="right")
    best = min(scores, key=lambda name: scores[name]["mse"])
    for name, row in scores.items():
        numbers = [f"{row['mse']:.4f}", f"{row['mae']:.4f}"]
        numbers += [f"{row[f'{kind} {column}']:.4g}" for column in target for kind in ("mse", "mae")]
        quality.add_row(escape(name), *numbers, style="bold" if name == best else "")
    console.print(quality)


@contextmanager
def progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage; where there is no terminal, a line at each tenth of it."""
    if not console.is_terminal:
        printed: dict[str, int] = {}

        def line(stage: str, done: int, total: int) -> None:
            tenth = 10 * done // total
            if printed.get(stage) != tenth:
                printed[stage] = tenth
                console.print(f"{stage}: {done}/{total}", highlight=False)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks = {}

        def bar(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        yield bar
