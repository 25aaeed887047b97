"""`python -m benchmarks report`: the page loads nothing and shows what the records say; pages of docs/ match them."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.core.charts import Bar, bars, colour, lines
from benchmarks.core.contenders.base import BACKWARD
from benchmarks.core.findings import judged
from benchmarks.core.record import RECORDS, ROOT, read, write
from benchmarks.jit.tables import tiles as jit_tiles
from benchmarks.report import blocks
from benchmarks.report.blocks import BLOCKS, MARK, PICTURES, drawn, filled
from benchmarks.report.findings import BREAK_EVEN, RECORD_OF
from benchmarks.report.sections import section
from benchmarks.speed.findings import FINDINGS
from benchmarks.speed.tables import mean

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_BLOCKS = [path for path in PAGES if MARK.search(path.read_text(encoding="utf-8"))]
VOID = {"meta", "link", "input", "path", "rect", "circle"}
BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")


@pytest.mark.parametrize("path", WITH_BLOCKS, ids=lambda path: path.name)
def test_a_page_shows_the_records(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert filled(text) == text, "python -m benchmarks report --pages"
    assert len(text.splitlines()) <= {"speed.md": 200, "jit.md": 200}.get(path.name, 400)


def test_every_block_and_picture_is_shown_once() -> None:
    shown = [found[1] for path in WITH_BLOCKS for found in MARK.finditer(path.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(BLOCKS)
    for name in PICTURES:
        assert (ROOT / name).read_text(encoding="utf-8") == drawn(name), "python -m benchmarks report --pages"


def test_findings_of_speed_hold_and_can_fail() -> None:
    record = read(RECORDS / "speed.json", "speed")
    assert all(holds for _, _, holds in judged(FINDINGS, record))
    for row in record.rows:
        if row.contender == "native" and row.unit == "s" and ": " not in row.measure:
            row.samples[:] = [9 * value for value in row.samples]
    assert sum(holds is False for _, _, holds in judged(FINDINGS, record)) >= 4


def test_findings_of_other_platforms_hold_and_can_fail() -> None:
    """From records of the TPU's compiler and of iterations; the estimates are those of the page."""
    for finding, name in RECORD_OF.items():
        record = read(RECORDS / f"{name}.json")
        ((_, _, holds),) = judged([finding], record)
        assert holds, finding.rule
        for row in record.rows:
            if row.contender in ("scan", "pallas", "parallel"):
                row.samples[:] = [9 * value for value in row.samples]
        ((_, _, holds),) = judged([finding], record)
        assert holds is False, finding.rule
        ((_, _, holds),) = judged([finding], read(RECORDS / "jit.json"))
        assert holds is None, finding.rule
    estimates = (ROOT / "docs" / "parallel.md").read_text(encoding="utf-8")
    for kernel, least in zip(("`scan`", "cuDNN"), BREAK_EVEN.values(), strict=True):
        assert f"| H100, one sequence | {kernel} | {least} to " in estimates


def test_speed_shows_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second record is a column of means; the first stays the headline, and README does not change."""
    for name in ("speed", "kernels"):
        shutil.copy(RECORDS / f"{name}.json", tmp_path)
    monkeypatch.setattr(blocks, "RECORDS", tmp_path)
    alone, readme = blocks.block("speed"), blocks.block("readme speed")
    other = read(RECORDS / "speed.json", "speed")
    other.environment["cpu"] = "Another CPU"
    for row in other.rows:
        if row.contender == "native" and row.unit == "s":  # ten times as slow
            row.samples[:] = [10 * value for value in row.samples]
    write(other, tmp_path / "speed-another.json")
    both = blocks.block("speed")
    assert blocks.block("readme speed") == readme
    assert len(both.splitlines()) == len(alone.splitlines())
    pairs = list(zip(alone.splitlines(), both.splitlines(), strict=True))
    added = {two.split(" | ")[0]: two.removeprefix(one) for one, two in pairs if two.startswith("|")}
    assert added["| contender"] == " Another CPU, 2 cores: forward / forward+backward |"
    assert added["| native"] == " 0.15 / 0.18 |"
    assert added["| onnxruntime"] == " 1.30 / - |"
    assert "times with gradients; 4 of the 8 rules below that were measured hold; not “On a CPU use `native`" in both
    assert "on 2 cores of an Another CPU" in both
    assert "../benchmarks/records/speed-another.json" in both


def test_tiles_of_jit_keep_the_mark() -> None:
    record = read(RECORDS / "jit.json", "jit")
    torch, native = (record.of("base", "", BACKWARD, name)[0] for name in ("torch", "native"))
    assert "~" not in jit_tiles(record)[1][0]
    native.samples[:] = torch.samples
    native.samples[0] *= 1.01
    assert jit_tiles(record)[1][0] == "~1.00×"


class Page(HTMLParser):
    """Elements in order, and what is wrong with how they are nested."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.elements if each == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """All committed records."""
    out = tmp_path_factory.mktemp("page") / "runs" / "report.html"
    assert main(["report", "--out", str(out)]) == 0
    return Page(out)


def test_the_page_is_whole_and_loads_nothing(page: Page) -> None:
    assert (page.wrong, page.open) == ([], [])
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {href[1:] for each in page.of("a") if (href := each["href"] or "").startswith("#")} <= set(ids)
    assert not [each for _, each in page.elements if "src" in each]
    assert not re.search(r"url\(|@import", page.text[: page.text.index("</style>")])
    policy = next(each["content"] or "" for each in page.of("meta") if "http-equiv" in each)
    assert policy.startswith("default-src 'none'")


def test_tiles_and_records(page: Page) -> None:
    """Tiles are those of the record, with intervals; every record can be downloaded; ties are not hidden."""
    found = mean(read(RECORDS / "speed.json", "speed"), BACKWARD, "native")
    assert found is not None
    assert f"<strong>{found[0]}×</strong> <span>{BACKWARD}: our kernel" in page.text
    assert f"95 % interval {found[0].low:.2f} to {found[0].high:.2f}" in page.text
    assert re.search(r"lower error than every baseline; by more than 1 % \d", page.text)
    assert {each["download"] for each in page.of("a") if "download" in each} == {
        each.name for each in RECORDS.glob("*.json")
    }
    assert all('href="#' in figure for figure in re.findall(r"<figure.*?</figure>", page.text, re.DOTALL))


def test_undecided_ratios_keep_their_mark() -> None:
    record = read(RECORDS / "speed.json", "speed")
    doubtful = [row for row in record.of("speed") if row.baseline and (each := record.ratio(row)) and each.doubt]
    titles = {chart.title: chart for charts in section(RECORDS / "speed.json").charts.values() for chart in charts}
    assert doubtful
    for row in doubtful:
        chart = titles[f"{row.case} ({row.about['shape']}): {row.measure}"]
        assert f"{row.contender} {record.ratio(row)}" in chart.about


def test_text_is_escaped(tmp_path: Path) -> None:
    record = read(RECORDS / "ensemble.json", "speed")
    record.environment["cpu"] = 'A <CPU> & "more"</script>'
    write(record, tmp_path / 'a "b" <c>.json')
    out = tmp_path / "report.html"
    assert main(["report", "--out", str(out), "--record", str(tmp_path / 'a "b" <c>.json')]) == 0
    made = Page(out)
    assert (made.wrong, made.open) == ([], [])
    assert "A &lt;CPU&gt; &amp; " in made.text


def test_charts() -> None:
    made = bars(
        "b",
        [Bar("native", 2.0, "2.00", 1.9, 2.1), Bar("scan", 0.5, "~0.50", pale=True), Bar("gone", None, "failed")],
        one=1.0,
    )
    native, scan = (re.search(rf'x="([\d.]+)" y="{y}" width="([\d.]+)"', made.svg) for y in (4, 24))
    assert native
    assert scan
    assert float(native[1]) == pytest.approx(float(scan[1]) + float(scan[2]), abs=0.2)  # both end at 1
    assert float(native[2]) == pytest.approx(float(scan[2]), abs=0.2)  # as far on a logarithmic axis
    assert 'opacity="0.4"' in made.svg
    assert "native 2.00, scan ~0.50, gone failed" in made.about
    curve = lines("l", {"a": [(1, 1.0), (10, 10.0)], "b": [(1, 2.0), (10, 20.0)]}, "x", limits={"most": 30.0})
    assert curve.svg.count("<circle") == 4
    assert all(f">{name}</text>" in curve.svg for name in ("a", "b", "most"))
    assert colour("scan") == colour("scan, bfloat16") != colour("torch")


def test_what_is_no_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is wrong is named, and no page is written for the others."""
    wrong, out = tmp_path / "wrong.json", tmp_path / "report.html"
    for content, message in (
        ('{"agreement": 3}', "`jax-lstm compare`"),
        ('{"study": "x"}', "of no study"),
        ("{", "record"),
    ):
        wrong.write_text(content)
        command = ["report", "--out", str(out), "--record", str(RECORDS / "speed.json"), "--record", str(wrong)]
        assert main(command) == 2
        assert re.search(f"wrong.json.*{message}", capsys.readouterr().err)
    assert not out.exists()


@pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Chromium and its driver: apt install chromium chromium-driver"
)
def test_in_a_browser(page: Page, tmp_path: Path) -> None:
    """No error, no wider than a phone, filters and sorts."""
    webdriver: Any = pytest.importorskip("selenium.webdriver")
    path = tmp_path / "report.html"
    path.write_text(page.text, encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        for width in (390, 1280):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get(path.as_uri())
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        section = "[...document.querySelectorAll('section')].find((s) => s.querySelector('h2').textContent === 'Speed')"
        typed = "const field = arguments[0].querySelector('input'); field.value = arguments[1];"
        typed += "field.dispatchEvent(new Event('input', { bubbles: true }))"
        element = driver.execute_script(f"return {section}")
        driver.execute_script(typed, element, "every time streaming native")
        rows = (
            "return [...arguments[0].querySelectorAll('tbody tr')].filter((r) => !r.hidden).map((r) => r.textContent)"
        )
        (shown,) = driver.execute_script(rows, element)
        assert shown.startswith("streamingstreaming stepnative")
        driver.execute_script(typed, element, "")
        head = (
            "arguments[0].querySelectorAll('.sheet')[1].querySelectorAll('thead th')[1].querySelector('button').click()"
        )
        driver.execute_script(head, element)
        cells = "const sheet = arguments[0].querySelectorAll('.sheet')[1];"
        cells += "return [...sheet.querySelectorAll('tbody tr')].map((row) => row.cells[1].textContent)"
        values = [float(cell.strip("~").partition(" ")[0]) for cell in driver.execute_script(cells, element)]
        assert values == sorted(values)
        assert not driver.get_log("browser")
    finally:
        driver.quit()


def test_the_command_of_a_comparison_has_its_options() -> None:
    from jax_lstm.cli import COMMANDS
    from jax_lstm.cli.parser import parse
    from jax_lstm.compare import CompareConfig
    from jax_lstm.compare.config import upgraded
    from jax_lstm.train.config import from_dict

    for name in ("compare-weather", "compare-weather-x64"):
        values = json.loads((RECORDS / f"{name}.json").read_text())
        parsed = parse(COMMANDS, section(RECORDS / f"{name}.json").command.split()[1:], "")
        assert parsed.compare == from_dict(CompareConfig(), upgraded(values["config"], name), name)
