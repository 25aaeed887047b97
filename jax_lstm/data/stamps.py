"""Timestamps as files write them: ISO 8601, days before months or after, names of months, quarters, years, epochs."""

import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from jax_lstm.data.calendar import find_calendar
from jax_lstm.data.zones import (
    NEVER,
    PLAIN,
    UnreadableError,
    Zone,
    local_times,
    name_of,
    same_clock,
    utc_times,
    zone_of_midnights,
)

OFFSET = re.compile(r"[T ]\d{1,2}:?\d{2}.*?(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})$", re.IGNORECASE)
NUMERIC = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})(\D.*)?$")
QUARTER = re.compile(r"(?:(\d{4})[- ]?Q([1-4])|Q([1-4])[- ]?(\d{4}))$", re.IGNORECASE)
NAMED = (
    "%d-%b-%Y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%Y-%b",
    "%d-%b-%y",
    "%b-%y",
)
DIGITS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
EPOCHS = {10: 1_000_000, 13: 1000, 16: 1, 19: 0}  # digits, and microseconds in a unit; 19 are nanoseconds
ORDERS = {"day-first": "%d/%m/%Y", "month-first": "%m/%d/%Y", "year-first": "%y/%m/%d"}
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", "T%H:%M")


class Stamps(NamedTuple):
    """Timestamps of a column.

    `times` (N,) datetime64[us], in UTC or local as `zone` says. `note` says how they were read.
    """

    times: np.ndarray
    zone: Zone = PLAIN
    note: str = ""
    order: str = ""  # of day and month, if it was recognised


class Parsed(NamedTuple):
    """Timestamps as they are written: `local` times, and `minutes` (N,) ahead of UTC, None if the file does not say."""

    local: np.ndarray
    minutes: np.ndarray | None = None
    note: str = ""
    order: str = ""


def read_stamps(
    values: Any, order: str = "", form: str = "", zone: str = "", series: Sequence[np.ndarray] = ()
) -> Stamps:
    """Read a pandas Series of texts, numbers or timestamps.

    `order` is "day-first" or "month-first" where 1/2/2024 leaves both open; `form` is a format of `strptime`, if none
    of the usual ones applies. `zone` is the name of the zone whose local times they are; those with an offset are
    converted to it. `series` are the row numbers of each series, all in one by default.

    Times with an offset or of a zone become UTC; if all have the same local time of day, which is then a calendar of
    days, they are local.

    Raises:
        UnreadableError: a timestamp is missing or cannot be read, or its zone has no such time.
    """
    import pandas as pd

    missing = values.isna()
    if missing.any():
        raise UnreadableError(int(np.argmax(missing)), "expected a timestamp; got none")
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        local = values.dt.tz_localize(None).to_numpy("datetime64[us]")
        utc = values.dt.tz_convert(None).to_numpy("datetime64[us]")
        found = Parsed(local, (local - utc) // np.timedelta64(1, "m"))
        zone = zone or name_of(values.dt.tz)
    elif values.dtype.kind == "M":
        found = Parsed(values.to_numpy("datetime64[us]"))
    elif isinstance(values.dtype, pd.PeriodDtype):
        found = Parsed(values.dt.to_timestamp().to_numpy("datetime64[us]"))
    else:
        texts = [str(value).strip() for value in values.tolist()]
        if values.dtype.kind == "f":
            texts = [text.removesuffix(".0") for text in texts]
        if "" in texts:
            raise UnreadableError(texts.index(""), "expected a timestamp; got none")
        found = _read_texts(np.array(texts, object), order, form)
    return _placed(found, zone, series or [np.arange(len(values))])


def _placed(found: Parsed, zone: str, series: Sequence[np.ndarray]) -> Stamps:
    """The times in UTC, or local ones if all have the same local time of day."""
    local, minutes, note, order = found
    if minutes is None:
        if not zone or same_clock(local):
            return Stamps(local, Zone(zone), note, order)
        return Stamps(utc_times(local, zone, series), Zone(zone, utc=True), note, order)
    utc = local - minutes.astype("timedelta64[m]")
    if not zone and not minutes.any() and (zone := zone_of_midnights(utc)):
        note = "; ".join(filter(None, (note, f"timestamps in UTC are midnights of {zone}, so they are read as dates")))
    local = local_times(utc, zone) if zone else local
    apart = all((local[rows[1:]] != local[rows[:-1]]).all() for rows in series)
    if (zone or minutes.any()) and len(local) > 1 and same_clock(local) and apart:
        hours, rest = divmod(abs(int(minutes[0])), 60)
        offset = f"{'-' if minutes[0] < 0 else '+'}{hours:02}:{rest:02}" if (minutes == minutes[0]).all() else ""
        return Stamps(local, Zone(zone, False, "Z" if zone else offset), note, order)
    return Stamps(utc, Zone(zone, True, "Z"), note, order)


def _read_texts(texts: np.ndarray, order: str, form: str) -> Parsed:
    if form:
        return Parsed(_parsed(texts, form))
    if all(text.isdigit() for text in texts):
        return _read_digits(texts)
    ends = [found[1] if _may_end_in_offset(text) and (found := OFFSET.search(text)) else "" for text in texts]
    if any(ends):
        for row in range(len(ends)):
            if bool(ends[row]) != bool(ends[0]):
                raise UnreadableError(row, "some timestamps have an offset from UTC and some have none")
        plain = [text[: len(text) - len(end)].strip() for text, end in zip(texts, ends, strict=True)]
        found = _without_offsets(np.array(plain, object), order)
        return found._replace(minutes=np.array([_minutes(end) for end in ends]))
    return _without_offsets(texts, order)


def _may_end_in_offset(text: str) -> bool:
    """A quick test, since the pattern takes long."""
    return text[-1] in "Zz" or "+" in text or "-" in text[10:]


def _without_offsets(texts: np.ndarray, order: str) -> Parsed:
    if QUARTER.match(texts[0]):
        quarters = [QUARTER.match(text) for text in texts]
        for row, found in enumerate(quarters):
            if found is None:
                raise UnreadableError(row, f"expected a quarter like {texts[0]}; got {texts[row]!r}")
        parts = [(found[1] or found[4], found[2] or found[3]) for found in quarters if found]
        return Parsed(np.array([f"{year}-{3 * int(quarter) - 2:02}" for year, quarter in parts], "datetime64[us]"))
    if NUMERIC.match(texts[0]):
        return _read_numeric(texts, order)
    if re.match(r"\d{4}/", texts[0]):
        texts = np.array([text.replace("/", "-") for text in texts], object)
    forms = [form + clock for form in NAMED for clock in ("", " %H:%M:%S", " %H:%M")] if _names_month(texts[0]) else []
    return Parsed(_first_parsed(texts, [*forms, "ISO8601"]))


def _names_month(text: str) -> bool:
    return re.search("[a-z]{3}", text, re.IGNORECASE) is not None


def _read_numeric(texts: np.ndarray, order: str) -> Parsed:
    """Dates of numbers such as 31.12.2024; their order is recognised where it can only be one."""
    found = [NUMERIC.match(text) for text in texts]
    for row, one in enumerate(found):
        if one is None:
            raise UnreadableError(row, f"expected a date like {texts[0]}; got {texts[row]!r}")
    first, second, third = (np.array([int(one[at]) for one in found if one]) for at in (1, 2, 3))
    ranges = [("day-first", first, second), ("month-first", second, first)]
    if re.match(r"\d\d-\d\d-\d\d(\D|$)", texts[0]):
        ranges.append(("year-first", third, second))
    possible = [name for name, days, months in ranges if months.max() <= 12 and days.max() <= 31]
    note = ""
    if order:
        possible = [order]
    elif (first == second).all() and len(ranges) == 2:
        possible = possible[:1]
    elif len(possible) > 1:
        possible = [name for name in possible if _regular(texts, found, name)]
    if len(possible) != 1:
        at = f"; got {texts[0]!r}" if len(texts) == 1 else f"; {texts[0]!r}, {texts[1]!r} and so on leave both open"
        raise UnreadableError(0, f"expected dates in one order{at} (say --date-order or --date-format)")
    if not order and (first != second).any():
        note = f"dates {possible[0].replace('-', ' ')}, as {texts[0]}"
    return Parsed(_ordered(texts, found, possible[0]), None, note, possible[0])


def _ordered(texts: np.ndarray, found: Sequence[Any], order: str) -> np.ndarray:
    plain = np.array([f"{one[1]}/{one[2]}/{one[3]}{one[4] or ''}" for one in found], object)
    form = ORDERS[order] if len(found[0][3]) == 4 else ORDERS[order].replace("%Y", "%y")
    return _first_parsed(plain, [form + clock for clock in CLOCKS], texts)


def _regular(texts: np.ndarray, found: Sequence[Any], order: str) -> bool:
    """Whether the dates, read in this order, fill a calendar: those in the wrong order leave gaps."""
    try:
        times = np.unique(_ordered(texts, found, order))
    except UnreadableError:
        return False
    calendar = find_calendar([times])
    if calendar is None:
        return False
    at, distance = calendar.positions(times)
    return not distance.any() and int(at[-1]) < 1.1 * len(times)


def _read_digits(texts: np.ndarray) -> Parsed:
    """Years, months and days written as one number, or epochs."""
    digits = len(texts[0])
    for row, text in enumerate(texts):
        if len(text) != digits:
            raise UnreadableError(row, f"expected a timestamp of {digits} digits, as in the rows before; got {text!r}")
    form = DIGITS.get(digits, "")
    # Long numbers may be epochs too, and 240115 is no month, so that the year must be near.
    first, last = (1600, 2399) if digits <= 8 else (1900, 2100)
    if form and all(first <= int(text[:4]) <= last for text in texts) and _reads(texts[0], form):
        return Parsed(_parsed(texts, form), None, "" if digits == 4 else f"timestamps as {texts[0]}")
    if digits not in EPOCHS:
        raise UnreadableError(0, f"expected {EXPECTED}; got {texts[0]!r}")
    scale, numbers = EPOCHS[digits], texts.astype(np.int64)
    unit = {10: "seconds", 13: "milliseconds", 16: "microseconds", 19: "nanoseconds"}[digits]
    times = (numbers * scale if scale else numbers // 1000).astype("datetime64[us]")
    return Parsed(times, np.zeros(len(times), int), f"timestamps as {unit} since 1970")


def _minutes(offset: str) -> int:
    digits = offset.upper().replace("Z", "+0000").replace(":", "").ljust(5, "0")
    return int(f"{digits[0]}1") * (60 * int(digits[1:3]) + int(digits[3:5]))


EXPECTED = "an ISO 8601 timestamp like 2016-07-01 00:00:00"


def _first_parsed(texts: np.ndarray, forms: Sequence[str], shown: np.ndarray | None = None) -> np.ndarray:
    """Parse with the first of `forms` that reads all texts; "1 May 2024" alone leaves open how June is written."""
    fitting = [form for form in forms if _reads(texts[0], form)] or [forms[-1] if forms[-1] == "ISO8601" else forms[0]]
    for form in fitting[:-1]:
        with contextlib.suppress(UnreadableError):
            return _parsed(texts, form)
    return _parsed(texts, fitting[-1], shown)


def _reads(text: str, form: str) -> bool:
    import pandas as pd

    return not pd.isna(pd.to_datetime(text, format=form, errors="coerce"))


def _parsed(texts: np.ndarray, form: str, shown: np.ndarray | None = None) -> np.ndarray:
    """Parse with one format of `strptime`, or "ISO8601"."""
    import pandas as pd

    found = pd.to_datetime(pd.Series(texts, dtype=object), format=form, errors="coerce")
    for row in np.flatnonzero(found.isna())[:1]:
        expected = EXPECTED if form == "ISO8601" else f"a timestamp of the form {form}"
        raise UnreadableError(int(row), f"expected {expected}; got {(texts if shown is None else shown)[row]!r}")
    return found.to_numpy("datetime64[us]")


def read_stamp(
    text: str, order: str = "", form: str = "", local: bool = False, zone: str = "", last: np.datetime64 = NEVER
) -> tuple[np.datetime64, bool]:
    """Read one timestamp: in UTC, or `local`, if it has an offset or a `zone`; and whether it has an offset.

    Of an hour that comes twice it is in the first one, if that is after the `last` timestamp in UTC.

    Raises:
        UnreadableError: it cannot be read.
    """
    text = text.strip()
    try:
        stamp = datetime.fromisoformat(text) if not form and not text.isdigit() else None
    except ValueError:
        stamp = None
    if stamp is None:
        import pandas as pd

        found = read_stamps(pd.Series([text], dtype=object), order, form)
        time, offset = found.times[0], bool(found.zone.offset)
    else:
        offset = stamp.tzinfo is not None
        to_utc = offset and not (local and not zone)
        plain = stamp.astimezone(UTC) if to_utc else stamp
        time = np.datetime64(plain.replace(tzinfo=None), "us")
    if zone and offset and local:
        time = local_times(np.array([time]), zone)[0]
    if zone and not offset and not local:
        time = utc_times(np.array([time]), zone, [np.arange(1)], last)[0]
    return time, offset
