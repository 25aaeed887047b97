"""How good the models of a run are on a part of the data, beside the baselines."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.tasks.run import Run
from jax_lstm.train.task import Scores, Task


class Evaluation(NamedTuple):
    """The scores of the model, or of an ensemble and then of each member, and of the baselines.

    `predictions` are those of the model, or of the ensemble; `members` (M, ...) those of each. Members that diverged
    are not among them, and their scores are NaN.
    """

    scores: dict[str, Scores]
    predictions: np.ndarray
    members: np.ndarray


def part_of(task: Task) -> str:
    """The part to score on: test, or validation where there is no test part; "" without either."""
    return next((part for part in ("test", "val") if task.size(part)), "")


def evaluate(run: Run, task: Task, part: str) -> Evaluation:
    """Predict a part of the data of `task` with the best weights of `run`."""
    predict, arrays = task.make_predict(run.build(), part), jax.tree.map(jnp.asarray, task.arrays)
    each = [predict(weights, arrays) for weights in run.all_weights()]
    together = each[0] if len(each) == 1 else task.combine(each)
    scores = {f"all {len(each)} together": task.score(together, part)} if len(each) > 1 else {}
    scores |= {name or "LSTM": task.score(own, part) for name, own in zip(run.names, each, strict=True)}
    scores |= {name: dict.fromkeys(task.headings, math.nan) for name in run.diverged}
    return Evaluation(scores | task.baselines(part), together, np.stack(each))


def as_json(task: Task, found: Evaluation, part: str) -> dict[str, Any]:
    """What `scores.json` holds: the scores, null where one is not finite, and as `further` the table beside them."""
    sheet = task.further(found.predictions, part)
    scores = {
        name: {key: value if math.isfinite(value) else None for key, value in row.items()}
        for name, row in found.scores.items()
    }
    return {"part": part, "scores": scores} | ({} if sheet is None else {"further": sheet._asdict()})
