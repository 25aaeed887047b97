"""Scores of a run's models on a part of the data, beside the baselines."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.tasks.run import Run
from jax_lstm.train.task import Scores, Task


class Evaluation(NamedTuple):
    """Scores of the model, or of the ensemble and each member, and of the baselines.

    `predictions` are the model's or the ensemble's, `members` (M, ...) those of each member. Members that diverged
    are left out of both and have NaN scores.
    """

    scores: dict[str, Scores]
    predictions: np.ndarray
    members: np.ndarray


def part_of(task: Task) -> str:
    """The part to score: test, else validation, else ""."""
    return next((part for part in ("test", "val") if task.size(part)), "")


def predict(run: Run, task: Task, part: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The predictions for a part of the data by the best weights: those of all members together, and of each."""
    predict, arrays = task.make_predict(run.build(), part), jax.tree.map(jnp.asarray, task.arrays)
    each = [predict(weights, arrays) for weights in run.all_weights()]
    return each[0] if len(each) == 1 else task.combine(each), each


def evaluate(run: Run, task: Task, part: str) -> Evaluation:
    """Predict a part of the data with the best weights of `run`, and score it."""
    together, each = predict(run, task, part)
    scores = {f"all {len(each)} together": task.score(together, part)} if len(each) > 1 else {}
    scores |= {name or "LSTM": task.score(own, part) for name, own in zip(run.names, each, strict=True)}
    scores |= {name: dict.fromkeys(task.headings, math.nan) for name in run.diverged}
    return Evaluation(scores | task.baselines(part), together, np.stack(each))


def as_json(task: Task, found: Evaluation, part: str) -> dict[str, Any]:
    """The content of `scores.json`: the scores, null if not finite, and the task's further table if it has one."""
    table = task.table(found.predictions, part)
    scores = {
        name: {key: value if math.isfinite(value) else None for key, value in row.items()}
        for name, row in found.scores.items()
    }
    return {"part": part, "scores": scores} | ({} if table is None else {"further": table._asdict()})
