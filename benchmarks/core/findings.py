"""Findings: a rule and its reason, written by a person, and a sentence whose figures come from a record."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from benchmarks.core.record import Record
from benchmarks.core.tables import Table

T = TypeVar("T")
VERDICTS = {True: "holds", False: "**does not hold in this record**", None: "was not measured in this record"}


class NotMeasuredError(LookupError):
    """A row that a finding needs is not in the record."""


def measured(found: T | None, *what: str) -> T:
    """What was found in a record.

    Raises:
        NotMeasuredError: nothing was.
    """
    if found is None:
        raise NotMeasuredError(", ".join(what))
    return found


class Finding(NamedTuple):
    """`says` has the names of `figures` in braces; `holds` judges the rule by the record.

    `figures` gives texts and, for `holds`, numbers; it raises `NotMeasuredError` where rows are missing.
    """

    rule: str
    why: str
    says: str
    figures: Callable[[Record], Mapping[str, Any]]
    holds: Callable[[Mapping[str, Any]], bool]


def load(
    path: Path, judges: Mapping[Callable[[Record], Mapping[str, Any]], Callable[[Mapping[str, Any]], bool]]
) -> tuple[Finding, ...]:
    """Findings whose texts are in a file: for each function of `judges` a heading, its rule, reason and sentence."""
    texts = dict(
        re.findall(r"^## (\w+)\n\n(.*?)(?=\n## |\Z)", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
    found = []
    for figures, holds in judges.items():
        rule, why, says = texts[figures.__name__].strip().split("\n\n")
        found.append(Finding(rule, why, says, figures, holds))
    return tuple(found)


def judged(findings: Sequence[Finding], record: Record) -> Iterator[tuple[Finding, str, bool | None]]:
    """Every finding with its sentence, and whether it holds; None if the record lacks the rows."""
    for finding in findings:
        try:
            figures = finding.figures(record)
            said, holds = finding.says.format(**figures), bool(finding.holds(figures))
        except NotMeasuredError:
            said, holds = "", None
        yield finding, said, holds


def as_text(findings: Sequence[Finding], record: Record) -> str:
    """The findings for a page, in paragraphs."""
    parts = []
    for finding, said, holds in judged(findings, record):
        verdict = "" if holds else f" This {VERDICTS[holds]}."
        parts.append(f"**{finding.rule}** {finding.why} *{said}*{verdict}" if said else f"**{finding.rule}**{verdict}")
    return "\n\n".join(parts)


def verdicts(findings: Sequence[Finding], record: Record) -> Table:
    rows = [(finding.rule, VERDICTS[holds].strip("*"), said) for finding, said, holds in judged(findings, record)]
    return Table("Findings", ("rule", "in this record", "figures"), rows, left=3)


class Figure(float):
    """A number that is written with its unit."""

    text: str

    def __new__(cls, value: float, form: Callable[[float], str]) -> "Figure":
        found = super().__new__(cls, value)
        found.text = form(value)
        return found

    def __format__(self, spec: str) -> str:
        return self.text
