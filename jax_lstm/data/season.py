"""Seasons, and the rows that a forecast should read: from the calendar and from the training rows."""

from collections.abc import Sequence

import numpy as np

from jax_lstm.data.calendar import Calendar

LEAST = 0.3  # autocorrelation of the differences at a lag that counts as a season
NEARLY = 0.9  # of the largest autocorrelation
LONGEST = 1000  # rows of a season that is looked for without a calendar
SEGMENTS = 8  # least number of segments in a window
MOST_ROWS = 1344  # rows of a window that is chosen: two weeks of quarter-hours


def find_season(series: np.ndarray, calendar: Calendar | None) -> int:
    """The season in rows of `series` (N, C), its training rows; 1 if there is none.

    With a calendar it is the one of its seasons that repeats best, by the mean squared difference of rows a season
    apart. Without one it is the lag at which the differences of consecutive rows are correlated most.
    """
    if calendar is not None and calendar.seasons:
        usable = [one for one in calendar.seasons if 2 * one <= len(series)] or [calendar.seasons[0]]
        return min(usable, key=lambda lag: _unlike(series, lag)) if len(usable) > 1 else usable[0]
    return _most_correlated(series)


def _unlike(series: np.ndarray, lag: int) -> float:
    return float(np.mean((series[lag:] - series[:-lag]) ** 2))


def _most_correlated(series: np.ndarray) -> int:
    steps = np.diff(series, axis=0)
    longest = min(len(steps) // 3, LONGEST)
    if longest < 3:
        return 1
    steps = steps - steps.mean(axis=0)
    spectrum = np.fft.rfft(steps, 2 * len(steps), axis=0)
    products = np.fft.irfft(np.abs(spectrum) ** 2, axis=0)[: longest + 1].sum(axis=1)
    if products[0] <= 0:
        return 1
    found = products / products[0] * len(steps) / (len(steps) - np.arange(longest + 1))
    peaks = [lag for lag in range(2, longest) if found[lag] >= max(found[lag - 1], found[lag + 1], LEAST)]
    most = max((float(found[lag]) for lag in peaks), default=0.0)
    return next((lag for lag in peaks if found[lag] > NEARLY * most), 1)  # its multiples are peaks too


def windows_to_try(season: int, calendar: Calendar | None, horizon: int, rows: int) -> list[int]:
    """Windows that suit series of `rows` training rows: one season or several; without any, several horizons.

    One or two seasons and the horizon take at most half of the training rows, a longer window and the horizon a fifth.
    If none of them fits, it is what is left.
    """
    known: Sequence[int] = calendar.seasons if calendar is not None else ()
    seasons = {one for one in {season, *known} if one > 1} or {2 * horizon}

    def most(times: int) -> int:
        return min(rows // (2 if times <= 2 else 5) - horizon, MOST_ROWS)

    lengths = {one * times for one in seasons for times in (1, 2, 4) if one * times <= most(times)}
    return sorted(lengths) or [max(min(2 * horizon, most(1)), 1)]


def segment_for(season: int, window: int) -> int:
    """Rows per segment: the largest divisor of the shortest season that leaves `SEGMENTS` or more in the window."""
    most = max(window // SEGMENTS, 1)
    return max(length for length in range(1, most + 1) if season % length == 0 or (length == most and season == 1))
