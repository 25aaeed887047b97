"""How a text file is written: encoding, separator, decimal sign, header. It is recognised where that is safe."""

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from jax_lstm.checks import InputError, require
from jax_lstm.data.config import FileConfig

MISSING = frozenset({"", "na", "nan", "null", "none", "n/a", "nat", "<na>", "-", "?"})
SPACES = " \u00a0\u202f'"  # between thousands in any file
SAMPLE = 500  # lines in which the form of a file is recognised
SEPARATORS = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'", " ": "spaces"}
MARKS = {  # byte order marks, the longer ones first: that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}

POINT = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?$", re.IGNORECASE)  # 9.81
COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?$", re.IGNORECASE)  # 9,81
GROUPS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?$")  # 1,234,567.8
POINT_GROUPS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+$")  # 1.234,5
POINT_GROUP = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}$")  # 1.234
NUMBER = re.compile(r"[+-]?(\d[\d.,'\s]*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
STAMP = re.compile(r"\d{1,4}[-/.:]\d{1,2}|\d.*\d$|.*\d{4}$")


@dataclass(frozen=True)
class Dialect:
    """The form of a text file. `preamble` lines come before the header, after those that the user skips.

    `units`: the row after the header holds units. `trailing`: rows, but not the header, end with a separator.
    """

    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    preamble: int = 0
    units: bool = False
    trailing: bool = False
    notes: tuple[str, ...] = ()


def marked_encoding(content: bytes) -> str:
    """The encoding that a byte order mark names, or ""."""
    return next((name for mark, name in MARKS.items() if content.startswith(mark)), "")


def decoded(content: bytes, encoding: str, path: str) -> tuple[str, str]:
    """The text, and the encoding if it is not UTF-8: that of its mark, UTF-16, or cp1252.

    Raises:
        InputError: the file is not text in `encoding`, or has zero bytes.
    """
    known = encoding or marked_encoding(content)
    if not known:
        pairs = content[:1000]
        zeros = (pairs[1::2].count(0), pairs[::2].count(0))
        if max(zeros) > 0.4 * len(pairs[::2]):
            known = "utf-16-le" if zeros[0] > zeros[1] else "utf-16-be"
    try:
        if known:
            text = content.decode(known)
            return text.removeprefix("\ufeff"), "" if known.lower() in ("utf-8", "utf-8-sig", "utf8") else known
        try:
            return content.decode(), ""
        except UnicodeDecodeError:
            if 0 in content:
                raise
            return content.decode("cp1252"), "cp1252"
    except LookupError:
        raise InputError(f"`--encoding` must name an encoding, as utf-8 or cp1252; got {encoding!r}") from None
    except UnicodeError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not text in {known or 'UTF-8'}: {reason} (--encoding names another)") from None


def recognised(text: str, config: FileConfig, path: str) -> Dialect:
    """Recognise the form of a text from its first lines; what `config` names is taken as it is.

    Raises:
        InputError: numbers such as 1,234 leave open whether the comma is a decimal sign.
    """
    lines = list(itertools.islice(io.StringIO(text, newline=""), config.skip_lines, config.skip_lines + SAMPLE))
    separator = {"tab": "\t", "\\t": "\t"}.get(config.separator, config.separator) or _separator(lines)
    require(len(separator) == 1, "--separator", "be one character, or tab", repr(config.separator))
    rows, trailing = _split(lines, separator)
    preamble = _preamble(rows)
    table = [row for row in rows[preamble:] if any(row)]
    body = table[1:]
    units = _has_units(body, MISSING | {marker.lower() for marker in config.missing})
    decimal, thousands = _signs(body[units:], separator, config, path)
    notes = []
    if separator != "," or decimal != "." or thousands:
        if config.separator or separator == ",":
            columns = ""
        else:
            columns = f"{SEPARATORS.get(separator, repr(separator))} between columns"
        point = f"{decimal!r} as decimal sign" if decimal != "." and not config.decimal else ""
        groups = f"{thousands!r} between thousands" if thousands and not config.thousands else ""
        if found := [part for part in (columns, point, groups) if part]:
            notes.append("read with " + " and ".join(found))
    # With commas between columns the writer has points in decimals.
    unsaid = separator != "," and decimal == "." and not (thousands or config.decimal)
    if unsaid and (number := _maybe_thousands(body[units:])):
        notes.append(f"{number} is read as a decimal number; if the point separates thousands, pass --thousands .")
    if preamble:
        notes.append(f"{preamble} {'line' if preamble == 1 else 'lines'} before the header left out")
    if units:
        notes.append(f"a row of units left out: {', '.join(filter(None, body[0]))}")
    if trailing:
        notes.append("each row ends with a separator, which was left out")
    return Dialect(separator, decimal, thousands, preamble, units, trailing, tuple(notes))


def _split(lines: Sequence[str], separator: str) -> tuple[list[list[str]], bool]:
    """The fields of each line, and whether rows, but not the header, end with a separator, which is left out."""
    try:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        rows = [[field.strip() for field in row] for row in reader]
    except csv.Error:  # reported with its line when all rows are read
        rows = [[field.strip() for field in line.split(separator)] for line in lines]
    width = _width(rows)
    full = [row for row in rows if len(row) == width]
    header = next((row for row in rows if len(row) >= width - 1), [])
    trailing = len(header) == width - 1 and header[-1:] != [""] and not any(row[-1] for row in full)
    return [row[:-1] if trailing and len(row) == width else row for row in rows], trailing


def _width(rows: Sequence[Sequence[str]]) -> int:
    """The number of fields in most rows."""
    counts = Counter(len(row) for row in rows if any(row))
    return counts.most_common(1)[0][0] if counts else 0


def _separator(lines: Sequence[str]) -> str:
    """The character that cuts most lines into the same number of fields, more than one; a comma if none does."""
    best, found = (0.0, 0), ","
    for separator in SEPARATORS:
        if separator == " " and best > (1.5, 0):  # timestamps and names have spaces too
            continue
        rows = [row for row in _split(lines, separator)[0] if any(row)]
        counts = Counter(map(len, rows))
        width, times = counts.most_common(1)[0] if counts else (1, 0)
        if width > 1 and (separator != " " or times == len(rows)):
            # Commas in numbers cut rows alike, but not their header.
            heads = len(rows[_preamble(rows)]) == width
            share = (times / len(rows) + heads, width)
            if share > best:
                best, found = share, separator
    return found


def _preamble(rows: Sequence[Sequence[str]]) -> int:
    """Lines before the header: shorter ones, followed by a row of names as wide as most rows."""
    width = _width(rows)
    first = next((at for at, row in enumerate(rows) if len(row) == width and any(row)), 0)
    skipped = [row for row in rows[:first] if any(row)]
    names = rows[first] if first < len(rows) else []
    named = any(names) and all(names[1:-1]) and not any(NUMBER.match(name) or STAMP.match(name) for name in names)
    # A header that lacks a name is no preamble: a row of numbers follows it.
    shorter = all(len(row) < width for row in skipped)
    return first if skipped and named and shorter and width > 1 else 0


def _has_units(body: Sequence[Sequence[str]], missing: Set[str]) -> bool:
    """Whether the first row has no number or timestamp in any of two or more columns that otherwise hold them."""
    if len(body) < 3 or len({len(row) for row in body[:20]}) > 1:
        return False
    known = [[row[at] for row in body[1:20] if row[at].lower() not in missing] for at in range(len(body[0]))]
    measured = [at for at, fields in enumerate(known) if fields and all(map(_measures, fields))]
    first = [body[0][at] for at in measured if body[0][at]]
    return len(measured) > 1 and bool(first) and not any(_measures(each) or each.lower() in missing for each in first)


def _measures(field: str) -> bool:
    return bool(NUMBER.match(field) or STAMP.match(field)) or field.lower() in ("true", "false")


def _maybe_thousands(body: Sequence[Sequence[str]]) -> str:
    """A number such as 1.234, if all with a point are of that form and none above 999 lacks one; else ""."""
    cells = [(at, field) for row in body for at, field in enumerate(row)]
    points = [(at, field) for at, field in cells if POINT.match(field)]
    columns = {at for at, _ in points}
    large = any(at in columns and len(field.lstrip("+-")) > 3 and field.lstrip("+-").isdigit() for at, field in cells)
    fits = points and not large and all(POINT_GROUP.match(field) for _, field in points)
    return points[0][1] if fits else ""


def _signs(body: Sequence[Sequence[str]], separator: str, config: FileConfig, path: str) -> tuple[str, str]:
    """The decimal sign and the separator of thousands."""
    if config.decimal or config.thousands:
        return config.decimal or ("," if config.thousands == "." else "."), config.thousands
    fields = {re.sub(f"[{SPACES}]", "", field) for row in body for field in row}
    cells = {field for field in fields if "," in field and field.strip("+-0123456789.,eE") == ""}
    if not cells:
        return ".", ""
    if any(POINT_GROUPS.match(cell) for cell in cells):
        return ",", "."
    if any(GROUPS.match(cell) and (cell.count(",") > 1 or "." in cell) for cell in cells):
        return ".", ","
    commas = {cell for cell in cells if COMMA.match(cell)}
    points = any(POINT.match(field) and not POINT_GROUPS.match(f"{field},0") for field in fields)
    if any(not GROUPS.match(cell) for cell in commas):  # 1,5 beside 2.5 is text, as a list
        return (".", "") if points else (",", "")
    if commas and points:
        return ".", ","
    if commas:
        cell = min(commas)
        meant = f"{cell.replace(',', '.')} or {cell.replace(',', '')}"
        raise InputError(f"{path}: {cell!r} may be {meant}; say --decimal , or --thousands ,")
    return ".", ""
