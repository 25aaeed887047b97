"""How good the models of a run are on a part of the data, beside the baselines."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.tasks.run import Run
from jax_lstm.train.task import Scores, Task


class Evaluation(NamedTuple):
    """The scores of the model, or of an ensemble and then of each member, and of the baselines.

    `predictions` are those of the model, or of the ensemble; `members` (M, ...) those of each.
    """

    scores: dict[str, Scores]
    predictions: np.ndarray
    members: np.ndarray


def evaluate(run: Run, task: Task, part: str) -> Evaluation:
    """Predict a part of the data of `task` with the best weights of `run`."""
    predict, arrays = task.make_predict(run.build(), part), jax.tree.map(jnp.asarray, task.arrays)
    each = [predict(weights, arrays) for weights in run.all_weights()]
    together = each[0] if len(each) == 1 else task.combine(each)
    scores = {"LSTM": task.score(together, part)}
    if len(each) > 1:
        scores = {f"all {len(each)} together": scores["LSTM"]}
        scores |= {name: task.score(own, part) for name, own in zip(run.names, each, strict=True)}
    return Evaluation(scores | task.baselines(part), together, np.stack(each))


def as_json(task: Task, found: Evaluation, part: str) -> dict[str, Any]:
    """What `scores.json` holds: the scores, and as `further` the table that a task has beside them."""
    sheet = task.further(found.predictions, part)
    return {"part": part, "scores": found.scores} | ({} if sheet is None else {"further": sheet._asdict()})
