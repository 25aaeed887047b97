"""Output of the commands: data, model, tables of scores, progress."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import jax
import numpy as np
from flax import nnx
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from jax_lstm.models import ForecastModel
from jax_lstm.tasks.evaluation import Evaluation
from jax_lstm.tasks.forecast import Forecasting
from jax_lstm.tasks.run import Run
from jax_lstm.tasks.verdict import verdict
from jax_lstm.train import task as tasks
from jax_lstm.train.task import Scores, Task

MARK = " *"


def table(title: str) -> Table:
    """An empty table in the style of the commands."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def data_and_model(console: Console, trained: Sequence[tuple[Task, int]]) -> None:
    """The data, its gaps, and each kind of model and their number; warnings last."""
    task, _ = trained[0]
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column()
    for heading, text in task.facts:
        facts.add_row(heading, escape(text))
    for each, models in trained:
        _model(facts, each, models)
    console.print(facts)
    notes(console, (), task.warnings)


def _model(facts: Table, task: Task, models: int) -> None:
    config = task.config
    model = nnx.eval_shape(lambda: task.build(config))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    calls, steps, batch_size = task.shape
    fc, lstm = model.fc, model.lstm
    projected = f" > {lstm.proj_size}" if lstm.proj_size else ""
    sizes = f"{lstm.input_size} > {lstm.hidden_size}{projected} x {lstm.num_layers} > {fc.bias.shape[0]}"
    kind = "bidirectional LSTM" if lstm.bidirectional else "LSTM"
    if isinstance(model, ForecastModel):
        beside = " beside ridge regression" if model.bypass is not None else ""
        sizes = f"{sizes} over {model.segments} segments of {model.segment} rows{beside}"
    facts.add_row("model", f"{kind} {sizes}, {parameters:,} parameters, {config.dtype}")
    facts.add_row(
        "training",
        f"{config.epochs} {'epoch' if config.epochs == 1 else 'epochs'} of {calls * steps:,} batches of {batch_size}",
    )
    if models > 1:
        facts.add_row("", f"{models} models at once")


def notes(console: Console, notes: Sequence[str], warnings: Sequence[str]) -> None:
    """How a file was read, and warnings about its values."""
    for note in notes:
        console.print(escape(note), highlight=False)
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False)


def scores_table(
    console: Console, task: Task, scores: Mapping[str, Scores], part: str, members: Sequence[str] = (),
    chosen: Sequence[str] = (),
) -> None:  # fmt: skip
    """Scores of each model and each baseline; of the `members` of a sweep those `chosen` are marked.

    Several targets have a table of their own, without `members`, so that both fit 80 columns.
    """
    quality = table(f"quality on the {tasks.part_name(part)} part")
    quality.add_column("by")
    targets = task.dataset.target if isinstance(task, Forecasting) else ()
    own = [f"{name} {target}" for target in targets[1:] and targets for name in ("mse", "mae")]
    headings = {key: one for key, one in task.headings.items() if key not in own}
    for heading, _ in headings.values():
        quality.add_column(escape(heading), justify="right")
    best = min(scores, key=lambda name: np.nan_to_num(scores[name][task.metric], nan=np.inf))
    for name, row in scores.items():
        numbers = [format(row[key], form) for key, (_, form) in headings.items()]
        quality.add_row(escape(name) + MARK * (name in chosen), *numbers, style="bold" if name == best else "")
    console.print(quality)
    if chosen:
        console.print(f"{MARK.strip()} predicts: chosen by its validation loss, the mean over seeds", highlight=False)
    if own:
        shown = [name for at, name in enumerate(scores) if not at or name not in members]
        rows = [(target, *(format(scores[name][f"mae {target}"], ".4g") for name in shown)) for target in targets]
        further(console, tasks.Table("mean absolute error of each target, in its own units", ("target", *shown), rows))


def evaluation(console: Console, run: Run, task: Task, found: Evaluation, part: str) -> None:
    """All about a run: members that diverged, scores, how far seeds agree, the further table, the verdict."""
    left_out(console, run.diverged)
    members = [name for one in (run, *run.others) for name in one.members]
    scores_table(console, task, found.scores, part, members, run.names if run.config.sweep else ())
    agreement(console, task, found.scores, run.names)
    further(console, found.further)
    judged = verdict(task, found, part)
    if judged is not None:
        console.print(f"[bold]verdict:[/] {escape(str(judged))}", highlight=False)


def left_out(console: Console, diverged: Sequence[str]) -> None:
    """Warn about members that diverged, which are not used to predict."""
    if diverged:
        console.print(
            f"[yellow]warning:[/] left out, since their loss became NaN or infinite: {escape('; '.join(diverged))}"
        )


def agreement(console: Console, task: Task, scores: Mapping[str, Scores], names: list[str]) -> None:
    """Mean and standard deviation of the metric over seeds, and the best of them."""
    if len(names) < 2:
        return
    heading, form = task.headings[task.metric]
    values = [scores[name][task.metric] for name in names]
    known = [value for value in values if np.isfinite(value)]
    if len(known) > 1:
        mean, deviation = format(np.mean(known), form), format(np.std(known, ddof=1), form)
        best = names[int(np.nanargmin(values))]
        text = f"{mean} ± {deviation}, mean and standard deviation over the seeds; best: {best}"
        console.print(
            escape(f"agreement of {len(known)} seeds, {heading.replace(chr(10), ' ')}: {text}"), highlight=False
        )


def loss_name(task: Task) -> str:
    return task.headings[task.metric][0].replace("\n", " ")


def further(console: Console, shown: tasks.Table | None) -> None:
    """The task's further table, if it has one, and its warnings."""
    if shown is None:
        return
    drawn = table(shown.title)
    for at, heading in enumerate(shown.columns):
        drawn.add_column(escape(heading), justify="right" if at else "left")
    for row in shown.rows:
        drawn.add_row(*map(escape, row))
    console.print(drawn)
    notes(console, (), shown.warnings)


@contextmanager
def progress(console: Console) -> Iterator[Callable[..., None]]:
    """A bar for each stage, `(stage, done, total, facts)`; without a terminal, a line for every tenth."""
    if not console.is_terminal:
        printed: dict[str, int] = {}

        def line(stage: str, done: int, total: int, facts: str = "") -> None:
            tenth = 10 * done // total
            if printed.get(stage) != tenth:
                printed[stage] = tenth
                console.print(f"{stage}: {done}/{total}", highlight=False)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), "left")
    facts = TextColumn("{task.fields[facts]}")
    with Progress(*columns, TimeRemainingColumn(), facts, console=console) as bars:
        tasks = {}

        def bar(stage: str, done: int, total: int, facts: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, facts="")
            bars.update(tasks[stage], completed=done, facts=facts)

        yield bar
