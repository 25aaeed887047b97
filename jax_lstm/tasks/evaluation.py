"""Scores of a run's models on a part of the data, beside the baselines."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.tasks.run import Run
from jax_lstm.train.task import Scores, Table, Task


class Evaluation(NamedTuple):
    """Scores of the model, or of the ensemble and each member, and of the baselines.

    `predictions` are the model's or the ensemble's, `members` (M, ...) those of each member that makes it up: of a
    sweep, the seeds of the configuration with the best validation loss, `chosen`. Other members have scores alone, and
    those that diverged NaN. `baselines` names the scores that are of baselines. `further` is one
    more table about the predictions.
    """

    scores: dict[str, Scores]
    predictions: np.ndarray
    members: np.ndarray
    chosen: list[str]
    baselines: list[str]
    further: Table | None


def part_of(task: Task) -> str:
    """The part to score: test, else validation, else ""."""
    return next((part for part in ("test", "val") if task.size(part)), "")


def predict(run: Run, task: Task, part: str) -> dict[str, np.ndarray]:
    """The predictions for a part of the data by the best weights of each member of a run that did not diverge."""
    arrays, members = jax.tree.map(jnp.asarray, task.arrays), dict[str, np.ndarray]()
    for one in (run, *run.others):
        predict = task.make_predict(one.build(), part)
        members |= {name: predict(weights, arrays) for name, weights in one.member_weights().items()}
    return members


def combined(run: Run, task: Task, predictions: dict[str, np.ndarray]) -> np.ndarray:
    """The prediction of the chosen members together."""
    chosen = [predictions[name] for name in run.names]
    return chosen[0] if len(chosen) == 1 else task.combine(chosen)


def evaluate(run: Run, task: Task, part: str, further: Mapping[str, Scores] = MappingProxyType({})) -> Evaluation:
    """Predict a part of the data with the best weights of `run`, and score it.

    `further` are other scores of the model, or of the ensemble, to be shown after those of the members.
    """
    each = predict(run, task, part)
    together, chosen = combined(run, task, each), [each[name] for name in run.names]
    each = {name: each[name] for name in (*run.names, *(name for name in each if name not in run.names))}
    scores = {f"all {len(chosen)} together": task.score(together, part)} if len(chosen) > 1 else {}
    scores |= {name or "LSTM": task.score(own, part) for name, own in each.items()}
    scores |= {name: dict.fromkeys(task.headings, math.nan) for name in run.diverged}
    scores |= {f"{next(iter(scores))}, {name}": row for name, row in further.items()}
    baselines = task.baselines(part)
    return Evaluation(scores | baselines, together, np.stack(chosen), run.names, list(baselines),
                      run.further(task, together, part))  # fmt: skip


def as_json(task: Task, found: Evaluation, part: str) -> dict[str, Any]:
    """The content of `scores.json`: the scores, null if not finite; the members that predict, if there are several; the
    further table, if there is one.
    """
    scores = {
        name: {key: value if math.isfinite(value) else None for key, value in row.items()}
        for name, row in found.scores.items()
    }
    chosen = {} if found.chosen == [""] else {"chosen": found.chosen}
    return (
        {"part": part, "scores": scores}
        | chosen
        | ({} if found.further is None else {"further": found.further._asdict()})
    )
