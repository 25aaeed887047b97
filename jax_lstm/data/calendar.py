"""Calendars: the regular grid that the timestamps of a file lie on, and how it continues.

A grid has a fixed step (seconds to weeks), or is made of days of the week (business days) or of months (also quarters
and years). `find_calendar` recognises it from timestamps.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

DAY = 86_400_000_000  # in microseconds, as all fixed steps
UNITS = {"week": 7 * DAY, "day": DAY, "hour": DAY // 24, "minute": DAY // 1440, "second": 1_000_000}
NEAR = 4  # a timestamp within 1/4 of a step of the grid is put on it
FEW = 0.1  # of the timestamps may be put on the grid
MONTH_DAYS = 4  # days from the first or last day of the month that still mean that day, as business months have
WEEKS = 4  # without a day of the week, until that day is taken to be outside the calendar


class Positions(NamedTuple):
    """The place of each timestamp on the grid, counted from the first, and its distance in microseconds from there."""

    at: np.ndarray
    distance: np.ndarray


@dataclass(frozen=True)
class Calendar:
    """A regular grid of timestamps.

    `step` is in microseconds for "time", in days for "weekdays", in months for "months". `days` has a 1 for each day of
    the week, from Monday, that belongs to the grid. `month_end` says that the timestamps are the last days of months.
    """

    unit: Literal["time", "weekdays", "months"]
    step: int
    days: str = "1111111"
    month_end: bool = False

    def __str__(self) -> str:
        """The step in words: "1 hour", "15 minutes", "1 business day", "1 month"."""
        if self.unit == "weekdays":
            return "1 business day" if self.days == "1111100" else f"1 day of {self.days.count('1')} in a week"
        if self.unit == "months":
            for name, months in (("year", 12), ("quarter", 3), ("month", 1)):
                if self.step % months == 0:
                    return _counted(self.step // months, name)
        for name, size in UNITS.items():
            if self.step % size == 0:
                return _counted(self.step // size, name)
        return f"{self.step / 1e6:g} seconds"

    @property
    def tolerance(self) -> int:
        """The distance in microseconds from the grid up to which a timestamp is put on it."""
        return {"time": self.step // NEAR, "weekdays": 0, "months": MONTH_DAYS * DAY}[self.unit]

    @property
    def length(self) -> int:
        """The step in microseconds, of months roughly."""
        return {"time": self.step, "weekdays": DAY, "months": 30 * DAY * self.step}[self.unit]

    @property
    def seasons(self) -> tuple[int, ...]:
        """Rows in each natural season, the shortest first: day and week, week and year, or year; () for years."""
        if self.unit == "weekdays":
            return (self.days.count("1"),)
        if self.unit == "months":
            return (12 // self.step,) if self.step < 12 else ()
        if self.step < UNITS["minute"]:
            cycles = [UNITS["minute"], UNITS["hour"]]
        elif self.step < DAY:
            cycles = [DAY, 7 * DAY]
        else:
            cycles = [7 * DAY, 365 * DAY] if self.step < 7 * DAY else [365 * DAY]
        rows = dict.fromkeys(round(cycle / self.step) for cycle in cycles)
        return tuple(one for one in rows if one > 1)

    def positions(self, times: np.ndarray) -> Positions:
        """Place `times` (N,) datetime64[us], which increase, on the grid of their series."""
        if self.unit == "time":
            ticks = times.astype(np.int64)
            phase = _usual(ticks % self.step)
            at = (ticks - phase + self.step // 2) // self.step
            return Positions(at - at[0], ticks - phase - at * self.step)
        days, clock = times.astype("datetime64[D]"), times - times.astype("datetime64[D]")
        usual = _usual(clock.astype(np.int64))
        if self.unit == "weekdays":
            at = np.busday_count(days[0], days, weekmask=self.days)
            outside = ~np.is_busday(days, weekmask=self.days) * DAY
            return Positions(at, outside + clock.astype(np.int64) - usual)
        months = times.astype("datetime64[M]").astype(np.int64)
        at, rest = np.divmod(months - months[0], self.step)
        distance = (days - self._day(months, days)).astype(np.int64) * DAY + clock.astype(np.int64) - usual
        return Positions(at, np.where(rest, 31 * DAY, distance))

    def stamps(self, times: np.ndarray, positions: Any) -> np.ndarray:
        """The timestamps of `positions` on the grid on which `times` lie, with position 0 at the first of them."""
        positions = np.asarray(positions)
        if self.unit == "time":
            first = times[0] - self.positions(times).distance[0].astype("timedelta64[us]")
            return first + positions * np.timedelta64(self.step, "us")
        days = times.astype("datetime64[D]")
        clock = np.timedelta64(_usual((times - days).astype(np.int64)), "us")
        if self.unit == "weekdays":
            ahead = np.busday_offset(days[0], positions, roll="forward", weekmask=self.days)
        else:
            months = times[:1].astype("datetime64[M]").astype(np.int64) + positions * self.step
            ahead = self._day(months, days)
        return ahead.astype("datetime64[us]") + clock

    def _day(self, months: np.ndarray, days: np.ndarray) -> np.ndarray:
        """The day of the grid in each of `months`, on the grid on which `days` lie."""
        first = months.astype("datetime64[M]").astype("datetime64[D]")
        last = (months + 1).astype("datetime64[M]").astype("datetime64[D]") - np.timedelta64(1, "D")
        if self.month_end:
            return last
        usual = _usual(_day_of_month(days))
        return np.minimum(first + np.timedelta64(int(usual) - 1, "D"), last)


def find_calendar(series: Sequence[np.ndarray]) -> Calendar | None:
    """The calendar of timestamps, given as one array (N,) a series; None if no series has two.

    Steps are found within series, never across two. Of the steps that are a tenth of all or more, the longest is chosen
    whose grid holds all timestamps but a few, which lie within a quarter of a step of it. So rows every two hours among
    hourly ones are gaps, and one row at half past makes no grid of half hours. If no step does, the most common one is
    returned; `positions` then tells which timestamps are off its grid.
    """
    several = [times for times in series if len(times) > 1]
    if not several:
        return None
    steps = Counter(step for times in several for step in np.diff(times).astype(np.int64).tolist())
    least = min(steps)
    if least <= 0:  # unsorted, which the caller reports
        return Calendar("time", max(steps.most_common(1)[0][0], 1))
    if least >= 26 * DAY and (months := _months(several)):
        return months
    if least >= DAY // 2 and (weekdays := _weekdays(several)):
        return weekdays
    common = [step for step, count in steps.most_common() if count >= FEW * steps.total()]
    for step in sorted(common, reverse=True):
        found = Calendar("time", step)
        if all(_fits(found, times) for times in several):
            return found
    return Calendar("time", steps.most_common(1)[0][0])


def _fits(calendar: Calendar, times: np.ndarray) -> bool:
    """Whether `times` lie on the grid, all but a few of them exactly, and no two on one place."""
    at, distance = calendar.positions(times)
    near = np.abs(distance) <= calendar.tolerance
    return bool(near.all() and (np.diff(at) > 0).all() and np.count_nonzero(distance) <= FEW * len(times))


def _months(series: list[np.ndarray]) -> Calendar | None:
    """The calendar of months, if every series stays near one day of the month."""
    last, ends, starts, same = True, True, True, True
    diffs: list[int] = []
    for times in series:
        days = times.astype("datetime64[D]")
        numbers = times.astype("datetime64[M]").astype(np.int64)
        day, left = _day_of_month(days), _days_left(days)
        ends &= bool((left < MONTH_DAYS).all())
        starts &= bool((day <= MONTH_DAYS).all())
        last &= bool((left == 0).all())
        same &= bool(((day == day.max()) | (left == 0)).all())  # the 30th, and in February the last
        diffs += np.diff(numbers).tolist()
    if min(diffs) < 1 or not (ends or starts or same):
        return None
    return Calendar("months", int(np.gcd.reduce(diffs)), month_end=last or (ends and not same))


def _weekdays(series: list[np.ndarray]) -> Calendar | None:
    """The calendar of daily rows that leave out the same days of every week."""
    days = [times.astype("datetime64[D]") for times in series]
    clocks = np.concatenate([times - own for times, own in zip(series, days, strict=True)])
    steps = np.concatenate([np.diff(own).astype(np.int64) for own in days])
    if (clocks != clocks[0]).any() or not np.count_nonzero(steps == 1) > len(steps) / 2:
        return None
    seen = np.zeros(7, bool)
    seen[np.unique(np.concatenate([(own.astype(np.int64) + 3) % 7 for own in days]))] = True  # 1970-01-01: Thursday
    weeks = max(int((own[-1] - own[0]).astype(np.int64)) // 7 for own in days)
    weekend = not seen[5:].any() and np.count_nonzero(seen) >= 4 and bool((steps >= 3).any())
    if weeks < WEEKS and weekend:
        seen[:5] = True
    if seen.all() or not (weekend or weeks >= WEEKS):
        return None
    return Calendar("weekdays", 1, "".join("01"[day] for day in seen.astype(int)))


def _usual(values: np.ndarray) -> int:
    """The most common of integers, the first one of several."""
    found, first, counts = np.unique(values, return_index=True, return_counts=True)
    return int(found[np.lexsort((first, -counts))[0]])


def _day_of_month(days: np.ndarray) -> np.ndarray:
    return (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1


def _days_left(days: np.ndarray) -> np.ndarray:
    """Days until the last day of the month."""
    month = days.astype("datetime64[M]")
    last = (month + np.timedelta64(1, "M")).astype("datetime64[D]") - np.timedelta64(1, "D")
    return (last - days).astype(np.int64)


def _counted(count: int, name: str) -> str:
    return f"1 {name}" if count == 1 else f"{count} {name}s"


CYCLES = {"hour": DAY, "weekday": 7 * DAY, "day of year": 365 * DAY}


def calendar_names(calendar: Calendar, times: np.ndarray) -> tuple[str, ...]:
    """The calendar features of training rows at `times`: of each cycle longer than the step that they hold twice."""
    span = int((times[-1] - times[0]).astype(np.int64))
    most = {"hour": DAY // 2, "weekday": DAY, "day of year": 120 * DAY}
    known = (name for name, cycle in CYCLES.items() if calendar.length <= most[name] and span >= 2 * cycle)
    return tuple(f"{name} {wave}" for name in known for wave in ("sin", "cos"))


def calendar_features(times: np.ndarray) -> dict[str, np.ndarray]:
    """Sine and cosine of the hour, the weekday and the day of the year at `times` (N,)."""
    days = times.astype("datetime64[D]")
    hours = (times - days).astype(np.int64) / UNITS["hour"]
    weekday = (days.astype(np.int64) + 3) % 7
    year = (days - times.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
    found = {}
    for name, values, cycle in (("hour", hours, 24), ("weekday", weekday, 7), ("day of year", year, 365.25)):
        angle = 2 * np.pi * values / cycle
        found |= {f"{name} sin": np.sin(angle), f"{name} cos": np.cos(angle)}
    return found
