"""Odd text files drawn by Hypothesis, with what must be read from them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

STEPS = {
    "1 second": "s", "15 minutes": "15min", "1 hour": "h", "2 hours": "2h", "1 day": "D", "1 week": "W",
    "1 business day": "B", "1 month": "MS", "month ends": "ME", "1 quarter": "QS", "1 year": "YS",
}  # fmt: skip
CLOCKED = ("1 second", "15 minutes", "1 hour", "2 hours")
LOCAL = "Berlin"  # the form of local times, whose hours come twice or not at all; the truth is in UTC
SWITCHES = ("2021-03-27 20:00", "2021-10-30 20:00", "2022-03-26 21:00", "2022-10-29 22:00")
# Whether days suffice, and how a time is written.
FORMS: dict[str, tuple[bool, Callable[[pd.Timestamp], str]]] = {
    "iso": (False, lambda time: time.strftime("%Y-%m-%d %H:%M:%S")),
    "T": (False, lambda time: time.isoformat()),
    "UTC": (False, lambda time: time.isoformat() + "Z"),
    "slashes": (False, lambda time: time.strftime("%Y/%m/%d %H:%M:%S")),
    LOCAL: (False, lambda time: time.tz_localize("UTC").tz_convert("Europe/Berlin").strftime("%Y-%m-%d %H:%M:%S")),
    "epoch": (False, lambda time: str(int(time.timestamp()))),
    "milliseconds": (False, lambda time: str(int(time.timestamp()) * 1000)),
    "day-first": (False, lambda time: time.strftime("%d.%m.%Y %H:%M:%S")),
    "month-first": (False, lambda time: time.strftime("%m/%d/%Y %H:%M:%S")),
    "AM": (False, lambda time: f"{time.month}/{time.day}/{time.year} {time.strftime('%I:%M:%S %p')}"),
    "date": (True, lambda time: time.strftime("%Y-%m-%d")),
    "digits": (True, lambda time: time.strftime("%Y%m%d")),
    "named": (True, lambda time: time.strftime("%d %B %Y")),
    "abbreviated": (True, lambda time: time.strftime("%d-%b-%Y")),
    "two digits": (True, lambda time: time.strftime("%d/%m/%y")),
    "year of two digits": (True, lambda time: time.strftime("%y-%m-%d")),
}
KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "whole": lambda rng, rows: rng.integers(-50, 5000, rows).astype(float),
    "large": lambda rng, rows: rng.integers(10**5, 10**8, rows) / 100,
    "exact": lambda rng, rows: rng.standard_normal(rows),
    "rounded": lambda rng, rows: rng.standard_normal(rows).round(3) * 100,
    "small": lambda rng, rows: rng.standard_normal(rows) * 1e-7,
    "boolean": lambda rng, rows: rng.integers(0, 2, rows).astype(float),
}
MARKERS = ("", "NA", "NaN", "null", "-", "?", "n/a")


@dataclass(frozen=True)
class Odd:
    """How a file is written; each is a draw."""

    seed: int
    rows: int
    series: int
    separator: str
    decimal: str
    thousands: str
    encoding: str
    ending: str
    preamble: int
    units: bool
    trailing: bool
    quoted: bool
    index: bool
    step: str
    form: str
    kinds: tuple[str, ...]
    gap: bool
    jitter: bool
    marker: str
    options: bool  # whether the user says how the file is written


def fits(odd: Odd) -> bool:
    """Whether such a file holds what it should; 1.234 alone is read as a little more than one."""
    clear = odd.separator != " " or not (odd.trailing or odd.index or odd.preamble)
    certain = odd.thousands != "." or odd.options or "large" in odd.kinds
    told = odd.form != LOCAL or (odd.step in ("15 minutes", "1 hour") and not odd.gap)
    clocked = FORMS[odd.form][0] and odd.step in CLOCKED
    return clear and certain and told and odd.thousands != odd.decimal and not clocked


ODD = st.builds(
    Odd,
    seed=st.integers(0, 10**6),
    rows=st.integers(12, 40),
    series=st.sampled_from((1, 1, 2, 3)),
    separator=st.sampled_from((",", ",", ";", "\t", "|", " ")),
    decimal=st.sampled_from((".", ".", ",")),
    thousands=st.sampled_from(("", "", "", ",", ".", " ", "'")),
    encoding=st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")),
    ending=st.sampled_from(("\n", "\n", "\r\n")),
    preamble=st.sampled_from((0, 0, 0, 1, 3)),
    units=st.booleans(),
    trailing=st.sampled_from((False, False, True)),
    quoted=st.booleans(),
    index=st.sampled_from((False, False, True)),
    step=st.sampled_from(tuple(STEPS)),
    form=st.sampled_from(tuple(FORMS)),
    kinds=st.lists(st.sampled_from(tuple(KINDS)), min_size=1, max_size=4).map(tuple),
    gap=st.booleans(),
    jitter=st.sampled_from((False, False, True)),
    marker=st.sampled_from(MARKERS),
    options=st.booleans(),
).filter(fits)


@dataclass
class Written:
    """A file, and the times and values of each series; NaN where a row or a value is absent."""

    content: bytes
    columns: list[str]
    times: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    moved: int = 0


def written(odd: Odd) -> Written:
    """The file that `odd` describes."""
    rng = np.random.default_rng(odd.seed)
    columns = [f"wert é{at}" if odd.encoding == "cp1252" else f"x{at}" for at in range(len(odd.kinds))]
    units = ["", *(["" for _ in odd.kinds[1:]]), "kWh"] if odd.units else []
    found = Written(b"", columns)
    lines = []
    header = [*([""] if odd.index else []), *(["shop"] if odd.series > 1 else []), "time", *columns]
    for _ in range(odd.preamble):
        lines.append("Station report")
    lines.append(row_of(header, odd).removesuffix(odd.separator))
    if units:
        lines.append(row_of(["" for _ in header[: -len(columns)]] + ["m/s" for _ in columns], odd))
    number = 0
    for at in range(odd.series):
        start = pd.Timestamp("2021-01-04") + pd.Timedelta(days=int(rng.integers(0, 700)))
        if odd.form == LOCAL:
            start = pd.Timestamp(SWITCHES[odd.seed % len(SWITCHES)])
        times: Any = pd.date_range(start, periods=odd.rows, freq=STEPS[odd.step])
        values = np.stack([KINDS[kind](rng, odd.rows) for kind in odd.kinds], axis=1)
        values[rng.random(values.shape) < 0.1] = np.nan
        values[-1] = np.nan_to_num(values[-1])  # so that the last row is no future
        absent = np.zeros(odd.rows, bool)
        if odd.gap:
            absent[rng.integers(2, odd.rows - 1, 2)] = True
        stamps: Any = times
        if odd.jitter and odd.step in CLOCKED and odd.step != "1 second":
            row = int(rng.choice(np.flatnonzero(~absent)[1:-1]))
            stamps = times.where(np.arange(odd.rows) != row, times + pd.Timedelta(seconds=20))
            found.moved += 1
        values[absent] = np.nan
        name = f"shop {at}"
        found.times[name], found.values[name] = times.to_numpy("datetime64[us]"), values
        for row in np.flatnonzero(~absent):
            texts = [text_of(value, kind, odd) for value, kind in zip(values[row], odd.kinds, strict=True)]
            before = [*([str(number)] if odd.index else []), *([name] if odd.series > 1 else [])]
            lines.append(row_of([*before, FORMS[odd.form][1](stamps[row]), *texts], odd))
            number += 1
    found.content = (odd.ending.join(lines) + odd.ending).encode(odd.encoding)
    return found


def row_of(fields: list[str], odd: Odd) -> str:
    plain = odd.quoted or (odd.separator == " " and not all(fields))
    quoted = [quote(each) if plain or odd.separator in each else each for each in fields]
    return odd.separator.join(quoted) + (odd.separator if odd.trailing else "")


def quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def text_of(value: float, kind: str, odd: Odd) -> str:
    if np.isnan(value):
        return odd.marker
    if kind == "boolean":
        return str(bool(value))
    text = {"whole": f"{int(value):,}", "large": f"{value:,.2f}"}.get(kind, repr(float(value)))
    return text.translate({ord(","): odd.thousands, ord("."): odd.decimal})


def options(odd: Odd) -> dict[str, Any]:
    """What a user says who knows the file."""
    zone = {"time_zone": "Europe/Berlin"} if odd.form == LOCAL else {}
    if not odd.options:
        return zone
    order = {"AM": "month-first", "two digits": "day-first"}.get(odd.form, odd.form)
    return {
        **zone,
        "separator": odd.separator,
        "decimal": odd.decimal,
        "thousands": odd.thousands,
        "encoding": odd.encoding,
        "date_order": order if order in ("day-first", "month-first") else "",
    }
