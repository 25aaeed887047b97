"""The generated part of docs/jit.md: facts, pictures, findings with their evidence, tables."""

from pathlib import Path

from benchmarks.facts import facts_of
from benchmarks.jit.findings import judged
from benchmarks.jit.pictures import PICTURES, draw
from benchmarks.jit.tables import VERDICTS, legends, tables
from benchmarks.page import render as render_text
from benchmarks.record import Record
from benchmarks.tables import markdown_of
from jax_lstm.files import write_whole


def render(record: Record, page: str) -> int:
    """Print the text, or insert it into the page and draw the pictures beside it."""
    for name in drawn(record) if page else ():
        write_whole(Path(page).with_name(name), draw(name, record.rows))
    return render_text("jit", markdown(record), page)


def drawn(record: Record) -> list[str]:
    """The pictures for which the record has rows."""
    return [
        name
        for name, picture in PICTURES.items()
        if any(row.seconds and row.sweep in picture.sweeps for row in record.rows)
    ]


def markdown(record: Record) -> str:
    parts = [
        "  \n".join(f"{fact}: {value}" for fact, value in facts_of(record).items()),
        *_pictures(record),
        "### Findings",
    ]
    for at, (finding, found) in enumerate(judged(record.rows), 1):
        verdict = (
            f"In this record: **{VERDICTS[found.holds]}**. {found.text}" if found else "Not measured in this record."
        )
        parts.append(f"**{at}. {finding.title}**\n\n{finding.do} {finding.why}\n\n> {verdict}")
    parts.append("### Tables")
    parts += [markdown_of(table) for table in (*legends(record), *tables(record))]
    return "\n\n".join(parts) + "\n"


def _pictures(record: Record) -> list[str]:
    return [f"![{PICTURES[name].about}]({name})\n\n{PICTURES[name].about}" for name in drawn(record)]
