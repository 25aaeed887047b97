"""The page: one HTML file with style, script, charts, tables and records, which needs no network."""

import base64
import json
import re
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.report.parts import ALSO, FILTERED, Chart, Group, Section, numbered
from benchmarks.report.studies import Told
from benchmarks.report.templates import TEMPLATES
from benchmarks.tables import Table
from jax_lstm.checks import require_extra

HERE = Path(__file__).parent
# Nothing may be loaded. Vega compiles its expressions, hence 'unsafe-eval'.
POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:"
EMBED = "window.vegaEmbed = vegaEmbed;"
CHOICES = {"case": "Cases", "contender": "Contenders", "measure": "Measure"}
ORDERS = {"": "as recorded", "value": "best first", "contender": "contender", "case": "case"}
VERDICTS = {"yes": "✓ yes", "no": "✗ no", "failed": "✗ failed"}


def page(found: Sequence[Told]) -> str:
    charts: dict[str, Chart] = {}
    body = "\n".join([_header(found), *(_section(told, charts) for told in found), _records(found)])
    used = sorted({chart.template for chart in charts.values()})
    rows = numbered(_json(chart.rows) for chart in charts.values())  # charts may share rows
    data = {
        "templates": {name: _compiled(name) for name in used},
        "rows": [json.loads(text) for text in rows],
        "charts": {
            name: {"template": chart.template, "rows": rows[_json(chart.rows)], "words": chart.words}
            for name, chart in charts.items()
        },
    }
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>LSTMs measured: the benchmarks of jax_lstm</title>
<link rel="icon" href="data:,">
<style>
{_file("page.css")}
</style>
</head>
<body>
{body}
<script id="data" type="application/json">{_json(data)}</script>
<script>{_script(_embed())}</script>
<script>{_script(_file("page.js"))}</script>
</body>
</html>
"""


def _embed() -> str:
    return require_extra("vl_convert", "bench", "the report").javascript_bundle(EMBED)


def _compiled(name: str) -> dict:
    return require_extra("vl_convert", "bench", "the report").vegalite_to_vega(TEMPLATES[name]())


def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _json(value: object) -> str:
    """JSON for a script element, which ends at the first `</script`."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _script(text: str) -> str:
    return re.sub(r"</(script)|<(!--)", lambda found: "<\\" + (f"/{found[1]}" if found[1] else found[2]), text)


def _header(found: Sequence[Told]) -> str:
    links = "".join(f'<li><a href="#{each.id}">{escape(each.section.title)}</a></li>' for each in found)
    tiles = "".join(
        f"<li><strong>{escape(figure)}</strong> <span>{escape(what)}</span></li>"
        for each in found
        for figure, what in each.section.tiles
    )
    machines = list(dict.fromkeys(each.section.facts["Machine"] for each in found))
    made = time.strftime("%Y-%m-%d", time.gmtime())
    return f"""<a class="skip" href="#main">To the content</a>
<header>
<p class="over">jax_lstm · benchmarks</p>
<h1>LSTMs, measured</h1>
<p class="lead">What LSTMs cost in JAX, PyTorch, Flax, Keras, Equinox and ONNX Runtime, what jit buys, and
what they learn. Every figure comes from a record with all its samples, and names the command that repeats it.</p>
<p class="soft">{"; ".join(map(escape, machines))}.
<span class="whole">Page of {made}.</span></p>
<ul class="tiles">{tiles}</ul>
<nav aria-label="Sections"><ul>{links}<li><a href="#records">Records and machine</a></li></ul></nav>
<button id="theme" type="button" aria-label="Dark or light">◐ <span>Theme</span></button>
</header>
<main id="main">"""


def _section(told: Told, charts: dict[str, Chart]) -> str:
    section = told.section
    warning = section.facts.get("Warning")
    parts = [f'<section id="{told.id}" class="study" aria-labelledby="{told.id}-title">']
    parts.append(f'<h2 id="{told.id}-title">{escape(section.title)}</h2><p>{_text(section.text)}</p>')
    parts.append(f'<p class="source">Record {_download(told)}</p>{_command(told.command)}')
    if warning:
        parts.append(f'<p class="warning" role="note"><strong>⚠ Warning:</strong> {escape(warning)}</p>')
    parts.append(_filters(told))
    parts += [_group(told, at, group, charts) for at, group in enumerate(section.groups)]
    if section.tables:
        parts.append('<h3>Tables</h3><p class="soft">A column sorts its table when its name is pressed.</p>')
    parts += [_table(table, section, at == 0) for at, table in enumerate(section.tables)]
    return "\n".join([*parts, "</section>"])


def _text(text: str) -> str:
    """Escape text; `code` and addresses become HTML elements."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"(https://[^\s,;)]+[^\s,;).])", r'<a href="\1">\1</a>', text)


def _command(command: str) -> str:
    return (
        f'<p class="command"><code>{escape(command)}</code>'
        '<button type="button" class="copy" aria-label="Copy the command">Copy</button></p>'
    )


def _download(told: Told) -> str:
    """A link to the record in the page."""
    return f'<a href="#record-{told.id}" class="record">{escape(told.path.name)}</a>'


def _filters(told: Told) -> str:
    """The filters; empty if there is only one value of each."""
    menus = []
    for name, label in CHOICES.items():
        values = told.section.values(name)
        if len(values) < 2:
            continue
        if name == "measure":
            options = "".join(
                f"<option{' selected' * (value == told.section.first)}>{escape(value)}</option>" for value in values
            )
            menus.append(
                f'<label>{label} <select name="{name}"><option value="">all</option>{options}</select></label>'
            )
            continue
        boxes = "".join(
            f'<label><input type="checkbox" name="{name}" value="{escape(value)}" checked> {escape(value)}</label>'
            for value in values
        )
        menus.append(
            f'<details class="menu"><summary>{label} <output>{len(values)} of {len(values)}</output></summary>'
            f'<fieldset><legend class="hidden">{label}</legend><p><button type="button" value="all">all</button> '
            f'<button type="button" value="none">none</button></p>{boxes}</fieldset></details>'
        )
    if not menus:
        return ""
    orders = "".join(f'<option value="{value}">{text}</option>' for value, text in ORDERS.items())
    menus.append(f'<label>Order <select name="order">{orders}</select></label>')
    status = '<span class="soft" role="status" data-status></span>'
    label = f"Choose and sort, {escape(told.section.title)}"
    return f'<form class="filter" aria-label="{label}">{"".join(menus)}{status}</form>'


def _group(told: Told, at: int, group: Group, charts: dict[str, Chart]) -> str:
    name = f"{told.id}-{at}"
    figures = []
    for number, chart in enumerate(group.charts):
        charts[f"{name}-{number}"] = chart
        figures.append(
            f"<figure{' class=wide' * chart.wide}><figcaption><h4>{escape(chart.title)}</h4></figcaption>"
            f'<div class="chart" id="{name}-{number}" role="img" aria-label="{escape(chart.about)}"></div>'
            f'<p class="source">{_download(told)} · <a href="#{told.id}">command</a></p></figure>'
        )
    text = f"<p>{_text(group.text)}</p>" if group.text else ""
    return (
        f'<div class="group"><h3 id="{name}">{escape(group.title)}</h3>{text}'
        f'<div class="cards">{"".join(figures)}</div></div>'
    )


def _table(table: Table, section: Section, is_open: bool) -> str:
    title, contenders = escape(table.title), set(section.values("contender"))
    heads = "".join(_head(column, at, table, contenders) for at, column in enumerate(table.columns))
    rows = "".join(_row(row, table, section) for row in table.rows)
    notes = "".join(f"<p>{_text(note)}</p>" for note in table.notes)
    return (
        f"<details class=sheet{' open' * is_open}><summary>{title}</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table>'
        f'<caption class="hidden">{title}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{notes}</details>"
    )


def _head(column: str, at: int, table: Table, contenders: set[str]) -> str:
    number = _number(at, table)
    name = f' data-contender="{escape(column)}"' if column in contenders else ""
    inside = f'<button type="button">{escape(column)}</button>' if column else '<span class="hidden">remark</span>'
    return f'<th scope="col"{number}{name}>{inside}</th>'


def _number(at: int, table: Table) -> str:
    """The class of a cell; a column without a name holds remarks."""
    return "" if at < table.left or not table.columns[at] else ' class="number"'


def _row(row: tuple[str, ...], table: Table, section: Section) -> str:
    named = {ALSO.get(column, column): cell for column, cell in zip(table.columns, row, strict=True)}
    chosen = {name: _choice(named.get(name, ""), table.title, section.values(name)) for name in FILTERED}
    values = {name: value for name, value in chosen.items() if value} | {"value": named.get("speed", row[-1])}
    marks = "".join(f' data-{name}="{escape(value)}"' for name, value in values.items())
    cells = [f'<th scope="row">{_text(row[0])}</th>']
    for at, cell in enumerate(row[1:], 1):
        cells.append(f"<td{_number(at, table)}>{_text(VERDICTS.get(cell, cell))}</td>")
    return f"<tr{marks}>{''.join(cells)}</tr>"


def _choice(cell: str, title: str, values: list[str]) -> str:
    """The value that a row belongs to: its cell, a prefix of it, or the one in the title."""
    for value in (cell, cell.partition(",")[0]):
        if value in values:
            return value
    found, rest = [], title
    for value in sorted(values, key=len, reverse=True):
        place = rf"(?<![\w+]){re.escape(value)}(?=[:;,]|$| at )"
        if re.search(place, rest):
            found.append(value)
            rest = re.sub(place, "", rest)
    return found[0] if len(found) == 1 else ""


def _records(found: Sequence[Told]) -> str:
    cards = []
    for told in found:
        data = base64.b64encode(told.text.encode()).decode()
        name = escape(told.path.name)
        facts = "".join(f"<dt>{escape(fact)}</dt><dd>{_text(value)}</dd>" for fact, value in told.section.facts.items())
        cards.append(
            f'<article id="record-{told.id}"><h3>{name}</h3>'
            f'<p><a class="download" download="{name}" href="data:application/json;base64,{data}">Download the record, '
            f"{len(told.text) / 1024:,.0f} KiB</a></p>{_command(told.command)}<dl>{facts}</dl></article>"
        )
    return (
        '<section id="records" aria-labelledby="records-title"><h2 id="records-title">Records and machine</h2>'
        "<p>Every sample of every figure, as it was taken. A record is repeated by its command, "
        "from a checkout of its commit.</p>"
        f"{''.join(cards)}</section></main>"
    )
