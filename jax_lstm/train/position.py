"""How far a run has got: steps and epochs, and for each member its losses, patience and whether it still trains."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jax_lstm.train.config import TrainConfig


class DivergedError(ArithmeticError):
    """The loss became NaN or infinite. The message says where, and the last finite loss."""


@dataclass(frozen=True)
class MemberStatus:
    """How far one member has got."""

    loss_sum: float = 0.0  # over the steps of this epoch so far
    best_loss: float | None = None
    stale_epochs: int = 0  # since the best
    stopped: bool = False  # out of patience, or diverged: its best weights no longer change
    diverged: bool = False


@dataclass(frozen=True)
class Position:
    """How far a run has got; with the seeds it determines the batches to come. `call` counts within the epoch."""

    step: int = 0
    epoch: int = 0
    call: int = 0
    members: tuple[MemberStatus, ...] = (MemberStatus(),)

    @property
    def best(self) -> int:
        """The member with the lowest validation loss among those that did not diverge, or the first of these."""
        ranks = [(one.diverged, np.inf if one.best_loss is None else one.best_loss) for one in self.members]
        return ranks.index(min(ranks))

    @property
    def stopped(self) -> bool:
        """Whether all members have stopped."""
        return all(one.stopped for one in self.members)

    @property
    def best_loss(self) -> float | None:
        return self.members[self.best].best_loss


def position_of(values: Mapping[str, Any], config: TrainConfig) -> Position:
    """A position from `asdict`; `config` may have a larger patience than the run had.

    In an ensemble a member that has stopped stays stopped: its weights have moved on since.
    """
    members = [MemberStatus(**one) for one in values["members"]]
    many = len(members) > 1
    members = [
        replace(one, stopped=one.diverged or (many and one.stopped) or _out_of_patience(one, config)) for one in members
    ]
    return Position(**{**values, "members": tuple(members)})


def _out_of_patience(one: MemberStatus, config: TrainConfig) -> bool:
    return 0 < config.patience <= one.stale_epochs


def before_first(position: Position, val_losses: list[Any], margin: float) -> Position:
    """The position before the first step: an epoch must beat the losses of the initial weights by the fraction `margin`
    to replace them.
    """
    to_beat = (loss * (1 - margin) for loss in val_losses)
    members = (replace(one, best_loss=loss) for one, loss in zip(position.members, to_beat, strict=True))
    return replace(position, members=tuple(members))


def after_call(
    position: Position, losses: np.ndarray, names: list[str], last_losses: list[Any], saved: str,
    alone: bool = True,
) -> Position:  # fmt: skip
    """The position after steps with these `losses` (members, S).

    Raises:
        DivergedError: a loss is not finite, and all members have diverged; not unless they are `alone`.
    """
    members = []
    for one, own in zip(position.members, losses, strict=True):
        if not one.stopped:  # losses after a member has stopped do not count
            diverged = not np.isfinite(own).all()
            loss_sum = 0.0 if diverged else one.loss_sum + float(own.sum())
            one = replace(one, loss_sum=loss_sum, diverged=diverged, stopped=diverged)
        members.append(one)
    if alone and all(one.diverged for one in members):
        raise _diverged("loss", losses, names, last_losses, position, saved)
    return replace(position, step=position.step + losses.shape[1], call=position.call + 1, members=tuple(members))


def after_epoch(
    position: Position, val_losses: list[Any], config: TrainConfig, names: list[str], last_losses: list[Any],
    saved: str, alone: bool = True,
) -> tuple[Position, list[bool]]:  # fmt: skip
    """The position at the start of the next epoch, and for each member whether its weights are the best so far."""
    members, better = [], []
    for one, loss in zip(position.members, val_losses, strict=True):
        diverged = one.diverged or (not one.stopped and loss is not None and not np.isfinite(loss))
        stopped = one.stopped or diverged
        better.append(not stopped and (loss is None or one.best_loss is None or loss < one.best_loss))
        if better[-1]:
            one = replace(one, best_loss=loss, stale_epochs=0)
        elif not stopped:
            one = replace(one, stale_epochs=one.stale_epochs + 1)
            stopped = _out_of_patience(one, config)
        members.append(replace(one, loss_sum=0.0, diverged=diverged, stopped=stopped))
    if alone and all(one.diverged for one in members):
        losses = np.array(val_losses, float)[:, None]
        raise _diverged("validation loss", losses, names, last_losses, position, saved)
    return replace(position, epoch=position.epoch + 1, call=0, members=tuple(members)), better


def _diverged(
    name: str, losses: np.ndarray, names: list[str], last_losses: list[Any], position: Position, saved: str
) -> DivergedError:
    """The error for `losses` (members, S) after `position`; `last_losses` are those of the step before, or None."""
    of = next(at for at, own in enumerate(losses) if not np.isfinite(own).all())
    at = int(np.flatnonzero(~np.isfinite(losses[of]))[0])
    last = losses[of, at - 1] if at else last_losses[of]
    last = "none" if last is None else format(last, ".6g")
    who = f" of {names[of]}" if names[of] else ""
    return DivergedError(
        f"the {name}{who} became {losses[of, at]} at step {position.step + at + 1}, epoch {position.epoch + 1}; the "
        f"last finite loss was {last}{saved}; try a lower --learning-rate, or --clip-norm 1"
    )
