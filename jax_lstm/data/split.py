"""The parts of each series: training, validation, calibration of intervals, and test; and which windows lie in them."""

from dataclasses import replace

import numpy as np

from jax_lstm.checks import InputError
from jax_lstm.data.config import DataConfig, parse_split
from jax_lstm.data.series import Series


def parts_of(config: DataConfig) -> tuple[str, ...]:
    return ("train", "val", "calibration", "test") if config.interval else ("train", "val", "test")


def bounds_of(rows: int, config: DataConfig, source: str) -> tuple[int, ...]:
    """The rows that bound the parts of a series: 0, and the end of each.

    With `config.interval` the second half of the validation part is for calibration.

    Raises:
        InputError: the split needs more rows than the series has.
    """
    split = parse_split(config.split)
    if isinstance(split[0], float):
        edges = [round(rows * sum(split[:count])) for count in (1, 2, 3)]
    else:
        edges = [int(sum(split[:count])) for count in (1, 2, 3)]
        if edges[-1] > rows:
            raise InputError(
                f"{source}: `--split` must ask for at most the {rows} rows of a series; got {config.split}"
            )
    half = [(edges[0] + edges[1]) // 2] if config.interval else []
    return 0, edges[0], *half, edges[1], edges[2]


def all_bounds(series: list[Series], config: DataConfig, source: str) -> list[tuple[int, ...]]:
    """The bounds of each series; one too short for a split in rows has no part, unless all are too short."""
    longest = max(len(one.values) for one in series)
    bounds_of(longest, config, source)  # raises if even this one is too short
    found = []
    for one in series:
        try:
            found.append(bounds_of(len(one.values), config, source))
        except InputError:
            found.append((0,) * (len(parts_of(config)) + 1))
    return found


def window_span(begin: int, end: int, config: DataConfig) -> tuple[int, int]:
    """The first start, and the end of the starts, of the windows with all targets in rows `begin` to `end`."""
    first = max(begin - config.window, 0)
    return first, max(end - config.window - config.horizon + 1, first)


def any_in_targets(unknown: np.ndarray, starts: np.ndarray, config: DataConfig) -> np.ndarray:
    before = np.concatenate([[0], np.cumsum(unknown)])
    return before[starts + config.window + config.horizon] > before[starts + config.window]


def require_windows(
    counts: dict[str, int], bounds: list[tuple[int, ...]], config: DataConfig, source: str, longest: int
) -> None:
    """Each part with a share in the split must have a window; the longest series has `longest` rows."""
    train, val, test = parse_split(config.split)
    shares = {"train": train, "val": val, "calibration": val, "test": test}
    for at, part in enumerate(parts_of(config)):
        rows = max(edges[at + 1] - edges[at] for edges in bounds)
        wanted = shares[part] > 0
        if wanted and not counts[part]:
            if config.interval and part in ("val", "calibration") and rows < config.horizon:
                raise InputError(f"{source}: too few rows: {_halved(longest, config)}")
            needed = (
                f"window + horizon = {config.window + config.horizon}"
                if part == "train"
                else f"horizon = {config.horizon}"
            )
            raise InputError(
                f"{source}: too few rows: the {part} part needs at least {needed} rows of one series, with no target "
                f"missing in the horizon; the longest has {rows}"
            )


def _halved(rows: int, config: DataConfig) -> str:
    """Says that half of the validation part of `rows` rows has no window, and proposes a split with a window in each.

    That split takes from the training part alone.
    """

    def parts(split: str) -> tuple[int, int, int]:
        """The rows of the training part, of the validation part, and of the smaller half of that."""
        _, begin, middle, end, _ = bounds_of(rows, replace(config, split=split), "")
        return begin, end - begin, min(middle - begin, end - middle)

    _, val_rows, half = parts(config.split)
    needed = config.window + config.horizon
    text = (
        f"`--interval` keeps half of the validation part for calibration, which leaves {half} of its {val_rows} rows, "
        f"and the horizon is {config.horizon}"
    )
    train, val, test = parse_split(config.split)
    step = 0.05 if isinstance(train, float) else 1
    for moved in np.arange(1, int(train / step)) * step:
        split = ",".join(f"{share:.10g}" for share in (train - moved, val + moved, test))
        left, _, half = parts(split)
        if left >= needed and half >= config.horizon:
            return f"{text}: give a larger validation part, as --split {split}, or leave out `--interval`"
    return (
        f"{text}: the validation part needs {2 * config.horizon} rows, beside window + horizon = {needed} rows of "
        "training; give more rows, or a smaller `--horizon`, or leave out `--interval`"
    )
