"""`python -m benchmarks report`: the page is whole and valid, loads nothing, and shows what the records say."""

import base64
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import study_records

pytest.importorskip("vl_convert")

from benchmarks import frameworks_report
from benchmarks import record as records
from benchmarks.__main__ import main
from benchmarks.page import marks
from benchmarks.report import command
from benchmarks.report.templates import TEMPLATES

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
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return study_records.write_all(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def page(paths: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("page") / "runs" / "report.html"
    assert report(out, *paths.values()) == 0
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


def test_every_record_has_its_section_and_can_be_downloaded(page: Page, paths: dict[str, Path]) -> None:
    assert {each["id"] for each in page.of("section")} == {path.stem for path in paths.values()} | {"records"}
    found = {each["download"]: each["href"] or "" for each in page.of("a") if "download" in each}
    assert found.keys() == {path.name for path in paths.values()}
    for path in paths.values():
        assert any(name.startswith(f"{path.stem}-") for name in page.data["charts"])
        assert base64.b64decode(found[path.name].split(",")[1]) == path.read_bytes()
    assert page.text.count('<p class="warning"') >= 1  # where the machine was busy
    assert '<p class="warning"' not in page.text.split('<section id="engine"')[1].split("</section>")[0]


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


def ratio_of(row: dict[str, Any], name: str) -> np.ndarray:
    return np.asarray(row["seconds"][row["baseline"]]) / np.asarray(row["seconds"][name])


def timed_rows(path: Path, section: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads(path.read_text())["rows"]
    return {(row["case"], row["measure"]): row for row in rows if row["section"] == section and row["baseline"]}


@pytest.mark.parametrize(("study", "section"), [("frameworks", "frameworks"), ("engine", "layers")])
def test_ratios_are_those_of_the_record(page: Page, paths: dict[str, Path], study: str, section: str) -> None:
    rows = timed_rows(paths[study], section)
    peak = 200  # GFLOP/s: 2e8 FLOPs in a millisecond
    seen = 0
    for name, chart in page.data["charts"].items():
        if not name.startswith(study) or chart["template"] != "limited_ratios":
            continue
        for shown in chart["rows"]:
            row = rows[shown["case"], shown["measure"]]
            if shown["contender"] in row["failed"]:
                assert shown["value"] is None
                assert shown["label"] == "failed"
                continue
            ratios = ratio_of(row, shown["contender"])
            median = float(np.median(ratios))
            assert shown["value"] == pytest.approx(median)
            assert float(shown["label"].strip("~×")) == pytest.approx(median, rel=0.006, abs=0.0051)
            gflops = row["flops"] / np.median(row["seconds"]["torch"]) / 1e9
            assert shown["limit"] == pytest.approx(peak / gflops)
            if shown["contender"] != "torch":
                assert ratios.min() <= shown["low"] <= median <= shown["high"] <= ratios.max()
                wide = np.subtract(*np.quantile(ratios, [0.75, 0.25])) > 0.2 * median
                assert shown["doubtful"] == bool(wide or shown["low"] <= 1 <= shown["high"])
            seen += 1
    assert seen == sum(len(row["seconds"]) for row in rows.values())


def test_cells_of_tables_are_those_of_the_record(page: Page, paths: dict[str, Path]) -> None:
    rows = timed_rows(paths["frameworks"], "frameworks")
    seen = 0
    for marked, cells in page.rows:
        if len(cells) == 10 and marked.get("data-contender") and cells[4] != "-":
            row, name = rows[cells[0], cells[1]], cells[2]
            assert (marked["data-case"], marked["data-measure"], marked["data-contender"]) == tuple(cells[:3])
            assert float(cells[5].strip("~")) == pytest.approx(float(np.median(ratio_of(row, name))), abs=0.006)
            seen += 1
    assert seen == sum(len(row["seconds"]) for row in rows.values())


def test_tiles_are_geometric_means(page: Page, paths: dict[str, Path]) -> None:
    rows = timed_rows(paths["frameworks"], "frameworks")
    for measure in ("forward", "forward+backward", "training step"):
        means = {
            name: np.exp(
                np.mean([np.log(np.median(ratio_of(row, name))) for (_, of), row in rows.items() if of == measure])
            )
            for name in ("native", "scan")
        }
        best = max(means, key=lambda name: means[name])
        found = re.search(rf"<strong>([\d.]+)×</strong> <span>{re.escape(measure)}: speed of {best} ", page.text)
        assert found
        assert float(found[1]) == pytest.approx(means[best], rel=0.006)


def test_curves_and_roofs_are_those_of_the_record(page: Page) -> None:
    charts = page.data["charts"].values()
    curves = [chart["rows"] for chart in charts if chart["template"] == "curves"]
    (rows,) = (rows for rows in curves if {row["contender"] for row in rows} == {"scan", "native"})
    found = {(row["contender"], row["x"]): row["value"] for row in rows}
    assert found == {(who, steps): value for who, value in (("scan", 0.55), ("native", 0.11)) for steps in (16, 256)}
    roof = next(chart["rows"] for chart in charts if chart["template"] == "roof")
    # A step of 32 rows by hand: x (10), h and c (20 each) are read, h and c written; weights are 80 x 30.
    bytes_moved = 4 * (80 * 30 + 32 * (10 + 4 * 20))
    assert {row["x"] for row in roof if row["case"] == "tutorial"} == {2 * 32 * 80 * 30 / bytes_moved}


def test_text_is_escaped_and_ids_are_unique(tmp_path: Path) -> None:
    """Also of two files of one name in two folders, and of one whose name the page has for its data."""
    record = study_records.frameworks()
    row = next(row for row in record.rows if row.failed)
    row.failed["onnxruntime"] = '</script><img src="x">'
    paths = [tmp_path / name for name in ('a "b" <c>.json', "data.json", "mine-1.json", "b/mine_1.json")]
    for path in paths:
        records.write(record, path)
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
    content: str | None, message: str, paths: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is wrong is named, and no page is written for the others."""
    wrong, out = tmp_path / "wrong.json", tmp_path / "report.html"
    if content is not None:
        wrong.write_text(content)
    assert report(out, paths["engine"], wrong) == 2
    assert re.search(f"wrong.json.*{re.escape(message)}", capsys.readouterr().err)
    assert not out.exists()


def test_without_the_extra(
    paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert report(tmp_path / "report.html", paths["engine"]) == 2
    assert "jax-lstm[bench]" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_tables_go_into_the_pages(paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "frameworks.md"
    page.write_text("before\n{}\n{}\nafter\n".format(*marks("frameworks")))
    assert main(["report", "--pages", "--record", str(paths["frameworks"])]) == 0
    recorded = records.read(paths["frameworks"], "frameworks")
    assert frameworks_report.markdown(recorded) in page.read_text(encoding="utf-8")
