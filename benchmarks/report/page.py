"""The page: one HTML file with style, script, charts, tables and records, which loads nothing."""

import base64
import re
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.core.charts import Chart
from benchmarks.core.tables import Table
from benchmarks.report.sections import TITLES, Section

HERE = Path(__file__).parent
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
VERDICTS = {"yes": "✓ yes", "no": "✗ no", "failed": "✗ failed"}


def page(found: Sequence[Section]) -> str:
    order = list(TITLES)
    found = sorted(found, key=lambda each: (order.index(each.study), each.title))
    names = {f"s{at}": each for at, each in enumerate(found)}
    tiles = "".join(
        f'<li><a href="#{name}"><strong>{escape(figure)}</strong> <span>{_text(what)}</span></a></li>'
        for name, each in names.items()
        for figure, what in each.tiles
    )
    links = "".join(f'<li><a href="#{name}">{escape(each.title)}</a></li>' for name, each in names.items())
    machines = "; ".join(dict.fromkeys(escape(each.facts["Machine"]) for each in found))
    sections = "\n".join(_section(name, each) for name, each in names.items())
    return (HERE / "page.html").read_text(encoding="utf-8").format(
        policy=escape(POLICY), style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"), machines=machines, tiles=tiles, links=links,
        sections=sections, made=time.strftime("%Y-%m-%d", time.gmtime()),
    )  # fmt: skip


def _section(name: str, section: Section) -> str:
    warning = f'<p class="warning">⚠ {escape(section.facts["Warning"])}</p>' if "Warning" in section.facts else ""
    data = base64.b64encode(section.text.encode()).decode()
    facts = "".join(f"<dt>{escape(fact)}</dt><dd>{_text(value)}</dd>" for fact, value in section.facts.items())
    groups = "".join(
        f'<div class="group"><h3>{escape(title)}</h3><div class="cards">'
        f"{''.join(_figure(name, chart) for chart in charts)}</div></div>"
        for title, charts in section.charts.items()
    )
    return f"""<section id="{name}" aria-labelledby="{name}-title">
<h2 id="{name}-title">{escape(section.title)}</h2><p>{_text(TITLES[section.study][1])}</p>
<p class="command"><code>{escape(section.command)}</code>
<a download="{escape(section.name)}" href="data:application/json;base64,{data}">{escape(section.name)}</a></p>{warning}
<p><label>Show rows and charts with <input type="search" name="filter" placeholder="native forward"></label></p>
{groups}{"".join(_table(table, at == 0) for at, table in enumerate(section.tables))}
<details><summary>How it was measured</summary><dl>{facts}</dl></details>
</section>"""


def _figure(name: str, chart: Chart) -> str:
    return (
        f'<figure><figcaption>{escape(chart.title)}</figcaption>{chart.svg}<p class="soft"><a href="#{name}">'
        "record and command</a></p></figure>"
    )


def _text(text: str) -> str:
    """Escape text; `code` and addresses become HTML elements."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"(https://[^\s,;)]+[^\s,;).])", r'<a href="\1">\1</a>', text)


def _table(table: Table, is_open: bool) -> str:
    title = escape(table.title)
    kinds = ["" if at < table.left else ' class="number"' for at in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{kind}><button type="button">{escape(column)}</button></th>'
        for column, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "".join(
        "<tr>" + "".join(
            f"<td{kind}>{_text(VERDICTS.get(cell, cell))}</td>" for cell, kind in zip(row, kinds, strict=True)
        ) + "</tr>"
        for row in table.rows
    )  # fmt: skip
    notes = "".join(f"<p>{_text(note)}</p>" for note in table.notes)
    return (
        f'<details class="sheet"{" open" * is_open}><summary>{title}</summary><div class="scroll" tabindex="0" '
        f'role="region" aria-label="{title}"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{notes}</details>"
    )
