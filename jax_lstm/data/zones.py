"""Time zones: local times and UTC, and how timestamps are written."""

import difflib
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jax_lstm.checks import require

NEVER = np.datetime64("NaT")
ZERO, HOUR, DAY = np.timedelta64(0), np.timedelta64(1, "h"), np.timedelta64(1, "D")
# Midnights in UTC are recognised in these zones: their rules are those of most others.
USUAL = (
    *("Europe/Berlin", "Europe/London", "Europe/Helsinki"),
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Halifax"),
    *("Australia/Sydney", "Australia/Adelaide", "Pacific/Auckland", "America/Santiago"),
)
FIX = "pass --time-zone with the name of the zone, as Europe/Berlin"


class UnreadableError(Exception):
    """The row of a timestamp that cannot be read, and what was expected there."""

    def __init__(self, row: int, expected: str):
        super().__init__(expected)
        self.row, self.expected = row, expected


@dataclass(frozen=True)
class Zone:
    """The zone of a file's timestamps, and how they are written.

    `name` is one of the IANA database, or "" if it is not known. In memory the times are in UTC if `utc`, else local.
    `offset` ends a timestamp when it is written: "" for none, "Z", "+01:00"; with a `name` each has its own instead.
    """

    name: str = ""
    utc: bool = False
    offset: str = ""

    def index(self, times: np.ndarray) -> Any:
        """The times as a pandas DatetimeIndex, with a zone if the file had offsets; in UTC if the zone has no name."""
        import pandas as pd

        index = pd.DatetimeIndex(times)
        if not self.name or not (self.utc or self.offset):
            return index.tz_localize("UTC" if self.utc else None)
        if self.utc:
            index = index.tz_localize("UTC").tz_convert(self.name)
        else:
            index = index.tz_localize(self.name, ambiguous=np.ones(len(index), bool), nonexistent="shift_forward")
        return index if self.offset else index.tz_localize(None)

    def local(self, times: np.ndarray) -> np.ndarray:
        """The times as clocks show them, if the zone is known."""
        return local_times(times, self.name) if self.utc and self.name else times

    def texts(self, times: np.ndarray) -> list[str]:
        """The times as the file has them; midnights without an offset of their own are written as dates."""
        index = self.index(times)
        if self.name and self.offset:
            return [time.isoformat() for time in index]
        local = index.tz_localize(None).to_numpy("datetime64[us]")
        if (local == local.astype("datetime64[D]")).all():
            return np.datetime_as_string(local, "D").tolist()
        return [str(text).removesuffix(".000000") + self.offset for text in np.datetime_as_string(local, "us")]


PLAIN = Zone()  # local times of a zone that is not known


def require_zone(name: str) -> None:
    """Raise `InputError` unless `name` is a zone that this system knows."""
    if not name or known(name):
        return
    zones = zoneinfo.available_timezones()
    require(bool(zones), "--time-zone", "be used with zone data, which is missing here", name, "pip install tzdata")
    places = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zones)}
    by_name = {zone.lower(): zone for zone in sorted(zones)}
    near = difflib.get_close_matches(name.lower().replace(" ", "_"), [*by_name, *places], 1)
    fix = f"did you mean {(by_name | places)[near[0]]}?" if near else ""
    require(False, "--time-zone", "be a zone of the IANA database, as Europe/Berlin", repr(name), fix)


def known(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def name_of(zone: Any) -> str:
    """The name of a pandas column's zone; "" for UTC and for an offset."""
    name = str(getattr(zone, "key", None) or getattr(zone, "zone", None) or "")
    return name if name not in ("UTC", "Etc/UTC") and name and known(name) else ""


def local_times(utc: np.ndarray, name: str) -> np.ndarray:
    """Times (N,) in UTC as local ones."""
    import pandas as pd

    return pd.DatetimeIndex(utc).tz_localize("UTC").tz_convert(name).tz_localize(None).to_numpy("datetime64[us]")


def utc_times(local: np.ndarray, name: str, series: Sequence[np.ndarray], last: np.datetime64 = NEVER) -> np.ndarray:
    """Local times (N,) in UTC. Of an hour that comes twice, a row is in the first one if that is after the row before.

    `series` are the row numbers of each series; `last` is the time before the first row, in UTC.

    Raises:
        UnreadableError: clocks skip a time.
    """
    early, late = (_localised(local, name, summer) for summer in (True, False))
    for row in np.flatnonzero(np.isnat(early))[:1]:
        stamp = str(local[row].astype("datetime64[s]")).replace("T", " ")
        raise UnreadableError(int(row), f"expected a time that {name} has; got {stamp}, which its clocks skip")
    times = early.copy()
    for rows in series:
        own, second = early[rows], late[rows]
        for at in np.flatnonzero(own != second):
            if own[at] <= (own[at - 1] if at else last):
                own[at] = second[at]
        times[rows] = own
    return times


def _localised(local: np.ndarray, name: str, summer: bool) -> np.ndarray:
    import pandas as pd

    index = pd.DatetimeIndex(local).tz_localize(name, ambiguous=np.full(len(local), summer), nonexistent="NaT")
    return index.tz_convert(None).to_numpy("datetime64[us]")


def same_clock(times: np.ndarray) -> bool:
    """Whether all have one time of day."""
    clock = times - times.astype("datetime64[D]")
    return bool((clock == clock[0]).all())


def shifted(utc: np.ndarray) -> bool:
    """Whether times in UTC have two times of day, an hour apart, as one local time has in winter and in summer."""
    clocks = np.unique(utc - utc.astype("datetime64[D]"))
    return len(clocks) == 2 and clocks[1] - clocks[0] in (HOUR, DAY - HOUR)


def zone_of_midnights(utc: np.ndarray) -> str:
    """A zone whose midnights, of summer and of winter, are these times; "" if there is none."""
    if shifted(utc):
        for name in filter(known, USUAL):
            local = local_times(utc, name)
            if (local == local.astype("datetime64[D]")).all():
                return name
    return ""


def summer_time_ends(local: np.ndarray) -> bool:
    """Whether rows go back only where an hour comes twice: by an hour less one step, in the night to a Sunday."""
    steps, step, sunday_nights = _switches(local)
    back = steps <= ZERO
    return bool(back.any() and (sunday_nights & (steps == step - HOUR))[back].all())


def summer_time_begins(local: np.ndarray) -> np.ndarray:
    """The first days on which rows skip an hour in the night to a Sunday, in spring of either hemisphere."""
    steps, step, sunday_nights = _switches(local)
    before = local[:-1][sunday_nights & (steps == step + HOUR)].astype("datetime64[D]")
    months = before.astype("datetime64[M]").astype(np.int64) % 12 + 1
    return before[np.isin(months, (3, 4, 9, 10))]


def _switches(local: np.ndarray) -> tuple[np.ndarray, np.timedelta64, np.ndarray]:
    """The steps of times (N,), the usual one, 0 if it is more than an hour, and which end in the night to a Sunday."""
    steps, days = np.diff(local), local[1:].astype("datetime64[D]")
    forward = steps[steps > ZERO]
    step = np.median(forward.astype(np.int64)).astype("timedelta64[us]") if len(forward) else ZERO
    sundays = (days.astype(np.int64) + 3) % 7 == 6  # 1970-01-01 was a Thursday
    return steps, step if step <= HOUR else ZERO, sundays & (local[1:] - days <= 4 * HOUR)
