"""Where a run stands: steps, epochs, and of each member its losses, its patience, and whether it goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jax_lstm.train.config import TrainConfig


class DivergedError(ArithmeticError):
    """The loss became NaN or infinite. The message says where, and what was seen last."""


@dataclass(frozen=True)
class Standing:
    """Where one member of a run stands."""

    loss_sum: float = 0.0  # of this epoch's steps so far
    best_loss: float | None = None
    stale_epochs: int = 0  # since the best
    stopped: bool = False  # out of patience, or diverged: its best weights no longer change
    diverged: bool = False


@dataclass(frozen=True)
class Position:
    """Where a run stands; with the seeds it fixes the data still to come. `call` counts within the epoch."""

    step: int = 0
    epoch: int = 0
    call: int = 0
    members: tuple[Standing, ...] = (Standing(),)

    @property
    def best(self) -> int:
        """The member with the least validation loss of those that did not diverge; without validation their first."""
        ranks = [(one.diverged, np.inf if one.best_loss is None else one.best_loss) for one in self.members]
        return ranks.index(min(ranks))

    @property
    def stopped(self) -> bool:
        """Whether no member goes on."""
        return all(one.stopped for one in self.members)

    @property
    def best_loss(self) -> float | None:
        return self.members[self.best].best_loss


def position_of(values: Mapping[str, Any], config: TrainConfig) -> Position:
    """What `asdict` made of a position; whether the patience of a run is at its end, `config` says anew.

    Of many members one that has stopped remains so: the weights are no longer those with which it stopped.
    """
    standings = [Standing(**one) for one in values["members"]]
    many = len(standings) > 1
    standings = [replace(one, stopped=(many and one.stopped) or _impatient(one, config)) for one in standings]
    return Position(**{**values, "members": tuple(standings)})


def _impatient(one: Standing, config: TrainConfig) -> bool:
    return 0 < config.patience <= one.stale_epochs


def after_call(
    position: Position, losses: np.ndarray, names: list[str], last_losses: list[Any], saved: str
) -> Position:
    """The position after steps with these `losses` (members, S).

    Raises:
        DivergedError: a loss is not finite, and no other member goes on.
    """
    standings = []
    for one, own in zip(position.members, losses, strict=True):
        if not one.stopped:  # what comes of it afterwards does not count
            diverged = not np.isfinite(own).all()
            loss_sum = 0.0 if diverged else one.loss_sum + float(own.sum())
            one = replace(one, loss_sum=loss_sum, diverged=diverged, stopped=diverged)
        standings.append(one)
    if all(one.diverged for one in standings):
        raise _diverged("loss", losses, names, last_losses, position, saved)
    return replace(position, step=position.step + losses.shape[1], call=position.call + 1, members=tuple(standings))


def after_epoch(
    position: Position, val_losses: list[Any], config: TrainConfig, names: list[str], last_losses: list[Any],
    saved: str,
) -> tuple[Position, list[bool]]:  # fmt: skip
    """The position at the start of the next epoch, and whose weights are the best so far."""
    standings, better = [], []
    for one, loss in zip(position.members, val_losses, strict=True):
        diverged = one.diverged or (not one.stopped and loss is not None and not np.isfinite(loss))
        stopped = one.stopped or diverged
        better.append(not stopped and (loss is None or one.best_loss is None or loss < one.best_loss))
        if better[-1]:
            one = replace(one, best_loss=loss, stale_epochs=0)
        elif not stopped:
            one = replace(one, stale_epochs=one.stale_epochs + 1)
            stopped = _impatient(one, config)
        standings.append(replace(one, loss_sum=0.0, diverged=diverged, stopped=stopped))
    if all(one.diverged for one in standings):
        losses = np.array(val_losses, float)[:, None]
        raise _diverged("validation loss", losses, names, last_losses, position, saved)
    return replace(position, epoch=position.epoch + 1, call=0, members=tuple(standings)), better


def _diverged(
    name: str, losses: np.ndarray, names: list[str], last_losses: list[Any], position: Position, saved: str
) -> DivergedError:
    """`losses` (members, S) follow `position`; `last_losses` are the finite ones before them, if there are any."""
    of = next(at for at, own in enumerate(losses) if not np.isfinite(own).all())
    at = int(np.flatnonzero(~np.isfinite(losses[of]))[0])
    seen = losses[of, at - 1] if at else last_losses[of]
    seen = "none" if seen is None else format(seen, ".6g")
    who = f" of {names[of]}" if names[of] else ""
    return DivergedError(
        f"the {name}{who} became {losses[of, at]} at step {position.step + at + 1}, epoch {position.epoch + 1}; the "
        f"last finite loss was {seen}{saved}; try a lower --learning-rate, or --clip-norm 1"
    )
