"""`python -m benchmarks report`: the page is whole and valid, loads nothing, and shows what the records say."""

import base64
import dataclasses
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vl_convert")

from benchmarks import frameworks_report
from benchmarks import record as records
from benchmarks.__main__ import main
from benchmarks.page import marks
from benchmarks.record import ROOT
from benchmarks.report import agreement, command
from benchmarks.report.templates import TEMPLATES
from jax_lstm.cli import COMMANDS
from jax_lstm.cli.parser import parse
from jax_lstm.compare import CompareConfig
from jax_lstm.compare.config import upgraded
from jax_lstm.train.config import from_dict

PATHS = {path.stem: path for path in (ROOT / "benchmarks" / "records").glob("*.json")}
VOID = {"meta", "link", "input"}


class Page(HTMLParser):
    """Elements in order, and what is wrong with how they are nested."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.rows: list[tuple[dict[str, str | None], list[str]]] = []  # of tables: their attributes and cells
        self.feed(self.text)
        self.close()
        found = re.search(r'<script id="data" type="application/json">(.*?)</script>', self.text, re.DOTALL)
        assert found
        self.data = json.loads(found[1])  # what the script draws
        for chart in self.data["charts"].values():
            chart["rows"] = self.data["rows"][chart["rows"]]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if len(attrs) != len(dict(attrs)):
            self.wrong.append(f"an attribute twice: {tag} {attrs}")
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append((dict(attrs), []))
        if tag in ("td", "th"):
            self.rows[-1][1].append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][1][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.elements if each == tag]


def report(out: Path, *paths: Path) -> int:
    return main(["report", "--out", str(out), *[word for path in paths for word in ("--record", str(path))]])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """All committed records."""
    out = tmp_path_factory.mktemp("page") / "runs" / "report.html"
    assert report(out) == 0
    return Page(out)


def test_the_page_is_well_formed(page: Page) -> None:
    assert not page.wrong
    assert not page.open
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [href[1:] for each in page.of("a") if (href := each["href"] or "").startswith("#")]
    names = [name for _, each in page.elements if (name := each.get("aria-labelledby"))]
    assert links
    assert set(links) | set(names) <= set(ids)


def test_nothing_is_loaded(page: Page) -> None:
    assert not [each for _, each in page.elements if "src" in each or "srcset" in each]
    assert all((each["href"] or "").startswith("data:") for each in page.of("link"))
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import", style[1])
    policy = next(each["content"] for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_every_record_has_its_section_and_can_be_downloaded(page: Page) -> None:
    assert {each["id"] for each in page.of("section")} == {*PATHS, "records"}
    found = {each["download"]: each["href"] or "" for each in page.of("a") if "download" in each}
    assert found.keys() == {path.name for path in PATHS.values()}
    drawn = {name.rsplit("-", 2)[0] for name in page.data["charts"]}
    compiled = {name for name in PATHS if name.startswith(("compile-", "scaling-"))}
    tables_alone = {"tasks", "ensemble", "iterations"} | compiled
    assert PATHS.keys() - drawn == tables_alone
    for path in PATHS.values():
        assert base64.b64decode(found[path.name].split(",")[1]) == path.read_bytes()


def test_every_chart_is_named_and_has_its_record_and_command(page: Page) -> None:
    charts = [each for each in page.of("div") if each.get("class") == "chart"]
    assert {each["id"] for each in charts} == page.data["charts"].keys()
    assert all(each["role"] == "img" and len(each["aria-label"] or "") > 20 for each in charts)
    figures = re.findall(r"<figure.*?</figure>", page.text, re.DOTALL)
    assert len(figures) == len(charts)
    assert all('href="#record-' in figure and ">command</a>" in figure for figure in figures)
    used = {chart["template"] for chart in page.data["charts"].values()}
    assert used == page.data["templates"].keys() <= TEMPLATES.keys()
    assert {"ratios", "limited_ratios", "means", "roof", "stages", "bars", "curves", "agreement", "shares"} <= used


@pytest.mark.parametrize("name", ["compare-weather", "compare-weather-x64"])
def test_the_command_of_a_comparison_has_its_options(name: str) -> None:
    record = json.loads(PATHS[name].read_text())
    parsed = parse(COMMANDS, agreement.command(record).split()[1:], "")
    assert parsed.compare == from_dict(CompareConfig(), upgraded(record["config"], name), name)


def ratios_of(row: dict[str, Any], name: str) -> np.ndarray:
    return np.asarray(row["seconds"][row["baseline"]]) / np.asarray(row["seconds"][name])


def timed_rows(study: str, section: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads(PATHS[study].read_text())["rows"]
    return {(row["case"], row["measure"]): row for row in rows if row["section"] == section and row["baseline"]}


@pytest.mark.parametrize(("study", "section"), [("frameworks", "frameworks"), ("engine", "layers")])
def test_ratios_are_those_of_the_record(page: Page, study: str, section: str) -> None:
    rows = timed_rows(study, section)
    (product,) = timed_rows(study, "peak").values()
    peak = product["flops"] / min(min(samples) for samples in product["seconds"].values())
    charts = [chart for name, chart in page.data["charts"].items() if name.startswith(f"{study}-")]
    shown = [row for chart in charts if chart["template"] == "limited_ratios" for row in chart["rows"]]
    shown = [each for each in shown if (each["case"], each["measure"]) in rows]
    assert len(shown) == sum(len(row["seconds"]) for row in rows.values())
    for each in shown:
        row = rows[each["case"], each["measure"]]
        ratios = ratios_of(row, each["contender"])
        median = float(np.median(ratios))
        assert each["value"] == pytest.approx(median)
        assert float(each["label"].strip("~×").replace(",", "")) == pytest.approx(median, rel=0.006, abs=0.0051)
        assert each["limit"] == pytest.approx(peak / (row["flops"] / np.median(row["seconds"]["torch"])))
        if each["contender"] != "torch":
            assert ratios.min() <= each["low"] <= median <= each["high"] <= ratios.max()
            wide = np.subtract(*np.quantile(ratios, [0.75, 0.25])) > 0.2 * median
            assert each["doubtful"] == bool(wide or each["low"] <= 1 <= each["high"])


def test_cells_and_tiles_are_those_of_the_record(page: Page) -> None:
    rows, seen = timed_rows("frameworks", "frameworks"), 0
    for marked, cells in page.rows:
        if len(cells) == 10 and marked.get("data-contender") and cells[4] != "-":
            ratios = ratios_of(rows[cells[0], cells[1]], cells[2])
            assert (marked["data-case"], marked["data-measure"], marked["data-contender"]) == tuple(cells[:3])
            assert float(cells[5].strip("~").replace(",", "")) == pytest.approx(float(np.median(ratios)), abs=0.006)
            seen += 1
    assert seen == sum(len(row["seconds"]) for row in rows.values())
    for measure in ("forward", "forward+backward", "training step"):
        found = [row for (_, of), row in rows.items() if of == measure]
        medians = {who: [np.median(ratios_of(row, who)) for row in found] for who in ("native", "scan")}
        best, mean = max(
            ((who, np.exp(np.mean(np.log(each)))) for who, each in medians.items()), key=lambda pair: pair[1]
        )
        tile = re.search(rf"<strong>([\d.]+)×</strong> <span>{re.escape(measure)}: speed of {best} ", page.text)
        assert tile
        assert float(tile[1]) == pytest.approx(mean, rel=0.006)


def test_curves_and_roofs_are_those_of_the_record(page: Page) -> None:
    charts = {name: chart for name, chart in page.data["charts"].items() if name.startswith("engine-")}
    curves = [chart["rows"] for chart in charts.values() if chart["template"] == "curves"]
    found = {(row["contender"], f"T={row['x']}"): row["value"] for rows in curves for row in rows}
    compiling = timed_rows("engine", "compiling")
    wanted = {
        (who, case): np.median(samples)
        for (case, _), row in compiling.items()
        for who, samples in row["seconds"].items()
    }
    assert wanted
    assert wanted.items() <= found.items()
    roof = next(chart["rows"] for chart in page.data["charts"].values() if chart["template"] == "roof")
    # A step of 32 rows by hand: x (10), h and c (20 each) are read, h and c written; weights are 80 x 30.
    bytes_moved = 4 * (80 * 30 + 32 * (10 + 4 * 20))
    assert {row["x"] for row in roof if row["case"] == "tutorial"} == {2 * 32 * 80 * 30 / bytes_moved}


def test_text_is_escaped_and_ids_are_unique(tmp_path: Path) -> None:
    """Also of two files of one name in two folders, and of one whose name the page has for its data."""
    record = records.read(PATHS["frameworks"], "frameworks")
    record.environment["cpu"] = "A <CPU> & more"
    record.rows[:] = [row for row in record.rows if row.case in ("tutorial", "small")]
    failing = next(row for row in record.rows if (row.case, row.measure) == ("small", "forward"))
    del failing.seconds["keras"]
    failing.failed["keras"] = '</script><img src="x">'
    paths = [tmp_path / name for name in ('a "b" <c>.json', "data.json", "mine-1.json", "b/mine_1.json")]
    for load, path in enumerate(paths):
        records.write(dataclasses.replace(record, load=0.1 + load), path)
    out = tmp_path / "report.html"
    assert report(out, *paths) == 0
    page = Page(out)
    assert not page.wrong
    assert not page.of("img")
    assert "A &lt;CPU&gt; &amp; more" in page.text
    sections = [each["id"] for each in page.of("section")]
    assert len(set(sections)) == len(sections) == 5
    assert "data" not in sections
    assert "a--b---c-" in sections
    assert page.text.count('<p class="warning"') == 3  # where the machine was busy
    rows = [row for chart in page.data["charts"].values() for row in chart["rows"] if row.get("contender") == "keras"]
    assert [row["value"] for row in rows if row.get("label") == "failed"] == [None] * 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        ("[1]", "not a record"),
        ('{"study": ["a"]}', "not a record"),
        ('{"agreement": 3}', "not a record of `jax-lstm compare`"),
        ('{"study": "something", "rows": []}', "not a record of frameworks"),
        ('{"study": "frameworks", "rows": []}', "not a record of `python -m benchmarks frameworks`"),
    ],
)
def test_what_is_no_record(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is wrong is named, and no page is written for the others."""
    wrong, out = tmp_path / "wrong.json", tmp_path / "report.html"
    if content is not None:
        wrong.write_text(content)
    assert report(out, PATHS["engine"], wrong) == 2
    assert re.search(f"wrong.json.*{re.escape(message)}", capsys.readouterr().err)
    assert not out.exists()


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert report(tmp_path / "report.html", PATHS["engine"]) == 2
    assert "jax-lstm[bench]" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_tables_go_into_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "frameworks.md"
    page.write_text("before\n{}\n{}\nafter\n".format(*marks("frameworks")))
    assert main(["report", "--pages", "--record", str(PATHS["frameworks"])]) == 0
    recorded = records.read(PATHS["frameworks"], "frameworks")
    assert frameworks_report.markdown(recorded) in page.read_text(encoding="utf-8")
