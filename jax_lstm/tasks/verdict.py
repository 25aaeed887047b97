"""The verdict on a trained model: better or worse than the best baseline, and what may have gone wrong in training."""

from typing import Any, NamedTuple

import numpy as np

from jax_lstm.files import read_json_lines
from jax_lstm.tasks.evaluation import Evaluation
from jax_lstm.tasks.run import Run
from jax_lstm.train.directory import METRICS
from jax_lstm.train.task import Task, part_name

ADVICE = "try more data, --seeds 0:5, or --sweep learning_rate=3e-4,1e-3,3e-3"
FEW_UPDATES = 100
FALLING = 0.005  # fraction by which the last epoch improved on all before
FAR = 10.0  # times the validation loss
SAME = 5e-5  # relative difference that is rounding
TIE = 0.01  # relative difference that decides nothing
FEW_ROWS = 100  # windows or sequences of the part that was scored
RISEN = 2.0  # times the training loss of the first epoch


class Verdict(NamedTuple):
    """The score of the model and of the best baseline, as one line if printed; lower is better.

    Attributes:
        heading: the name of the score, as "MSE standardised".
        score: that of the model, or of the ensemble.
        baseline: the name of the best baseline.
        baseline_score: its score.
        few: "18 test windows" if there are fewer than 100, which says little; else "".
    """

    heading: str
    score: float
    baseline: str
    baseline_score: float
    few: str = ""

    @property
    def better(self) -> bool:
        """Whether the score is lower than that of the baseline, if only by a little: see `tie`."""
        return self.score < self.baseline_score

    @property
    def tie(self) -> bool:
        """Whether the scores differ by less than 1 %."""
        return abs(self.ratio - 1) < TIE

    @property
    def ratio(self) -> float:
        """The score relative to that of the baseline; infinite if the baseline alone has no error."""
        if not self.baseline_score:
            return np.inf if self.score else 1.0
        return self.score / self.baseline_score

    def __str__(self) -> str:
        return self._text + (f"; with {self.few} this says little" if self.few else "")

    @property
    def _text(self) -> str:
        numbers = f"{self.heading} {self.score:.4g} against {self.baseline_score:.4g}"
        if abs(self.ratio - 1) < SAME:
            alone = ": no epoch had a lower validation error, so the forecast is that of ridge regression alone"
            return f"equal to {self.baseline}, the best baseline ({numbers}){alone if self.baseline == 'ridge' else ''}"
        if not self.baseline_score:
            return f"worse than {self.baseline}, which has no error at all ({numbers})"
        by = f"{100 * abs(1 - self.ratio):.2g} %" if self.tie else f"{100 * abs(1 - self.ratio):.1f} %"
        than = "better" if self.better else "worse"
        if self.tie:
            return f"about as good as {self.baseline}, the best baseline: {by} {than} ({numbers})"
        advice = "" if self.better else f"; {ADVICE}"
        return f"{than} than {self.baseline}, the best baseline, by {by} ({numbers}){advice}"


def verdict(task: Task, found: Evaluation, part: str) -> Verdict | None:
    """Of what predicts a part: the model, or the ensemble; None without baselines or a finite score."""
    scores = {name: found.scores[name][task.metric] for name in found.baselines}
    score = next(iter(found.scores.values()))[task.metric]
    if not scores or not np.isfinite(score):
        return None
    best = min(scores, key=lambda name: scores[name])
    count = task.size(part)
    unit = task.unit if count != 1 else task.unit.removesuffix("s")
    few = f"{count} {part_name(part)} {unit}" if count < FEW_ROWS else ""
    return Verdict(task.headings[task.metric][0].replace("\n", " "), score, best, scores[best], few)


def training_warnings(run: Run, task: Task, baselines: dict[str, Any]) -> list[str]:
    """What the log of training shows: too few updates, a rising or a falling loss, no gain over persistence.

    `baselines` are the scores of baselines on the validation part.
    """
    name = run.names[0]
    rows = [row for row in read_json_lines(run.directory / METRICS) if row.get("member", "") == name]
    epochs = [row for row in rows if row.get("train_loss") is not None]
    if not epochs:
        return []
    found, steps = [], epochs[-1]["step"]
    first, last = epochs[0]["train_loss"], epochs[-1]["train_loss"]
    if steps < FEW_UPDATES:
        found.append(f"only {steps} updates in all: try a smaller --batch-size or more --epochs")
    if len(epochs) > 1 and last > RISEN * first:
        found.append(f"the training loss rose from {first:.4g} to {last:.4g}: try a lower --learning-rate")
    losses = [row["val_loss"] for row in epochs if row.get("val_loss") is not None]
    if len(losses) > 2 and len(epochs) == run.config.epochs and losses[-1] < (1 - FALLING) * min(losses[:-1]):
        found.append(f"the validation loss was still falling in the last epoch: try --epochs {2 * run.config.epochs}")
    ridge = baselines.get("ridge", {}).get(task.metric, np.inf)
    if losses and last > FAR * losses[-1] and abs(losses[-1] - ridge) < SAME * ridge:
        found.append(
            f"the training loss is {last:.4g}, and on the validation part what the LSTM learnt was left out: try "
            "a lower --learning-rate"
        )
    persistence = baselines.get("persistence", {}).get(task.criterion, np.inf)
    best = run.statuses[name].best_loss
    if best is not None and best > persistence:
        found.append(
            f"no epoch beat persistence on the validation part ({best:.4g} against {persistence:.4g}): the last value "
            "may be the best forecast there is"
        )
    return found
