"""The page of `python -m benchmarks report` in Chromium: it draws, filters, sorts, fits and can be read."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vl_convert")
webdriver = pytest.importorskip("selenium.webdriver")

from benchmarks import record as records  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from benchmarks.sampling import Timed  # noqa: E402

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Chromium and its driver; on Debian: apt install chromium chromium-driver"
)
FLAGS = ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars")


class Tab:
    """One page in one browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def look(self, width: int, scheme: str = "light") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"media": "", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())
        wait = "const done = arguments[0]; const look = () => 'ready' in document.documentElement.dataset"
        self.driver.execute_async_script(f"{wait} ? done() : setTimeout(look, 20); look();")

    def settle(self) -> None:
        """Two frames, in which changes are drawn."""
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def check(self, section: str, name: str, value: str) -> None:
        self.js(f"document.querySelector('#{section} input[name={name}][value=\"{value}\"]').click()")
        self.settle()

    def figures(self, section: str) -> list[str]:
        """Titles of those that are shown."""
        shown = f"[...document.querySelectorAll('#{section} figure')].filter((figure) => figure.offsetParent)"
        return self.js(f"return {shown}.map((figure) => figure.querySelector('h4').textContent)")

    def bars(self, section: str, title: str) -> list[str]:
        """The names beside the bars of a chart, from above."""
        return self.js(
            f"const figure = [...document.querySelectorAll('#{section} figure')].find((figure) => figure.offsetParent"
            " && figure.querySelector('h4').textContent.startsWith(arguments[0]));"
            "const texts = [...figure.querySelectorAll('.role-axis-label text')].filter((text) =>"
            " /[a-z]/.test(text.textContent));"
            "texts.sort((a, b) => a.getBoundingClientRect().y - b.getBoundingClientRect().y);"
            "return texts.map((text) => text.textContent)",
            title,
        )

    def cells(self, section: str, title: str, column: str) -> list[str]:
        """Of a table's rows that are shown."""
        return self.js(
            f"const sheet = [...document.querySelectorAll('#{section} details.sheet')].find((sheet) =>"
            " sheet.querySelector('summary').textContent === arguments[0]); sheet.open = true;"
            "const at = [...sheet.querySelectorAll('thead th')].findIndex((head) => head.textContent === arguments[1]);"
            "const rows = [...sheet.querySelectorAll('tbody tr')].filter((row) => !row.hidden);"
            "return rows.map((row) => row.cells[at].textContent)",
            title,
            column,
        )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All committed records."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    assert main(["report", "--out", str(out)]) == 0
    return out


def timed_rows(measure: str) -> dict[str, Timed]:
    """Of the record of `frameworks`, by case."""
    record = records.read(records.ROOT / "benchmarks" / "records" / "frameworks.json", "frameworks")
    return {row.case: row for row in record.of("frameworks", measure)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    assert BROWSER
    options.binary_location = BROWSER
    for flag in FLAGS + ("--no-sandbox",) * (hasattr(os, "geteuid") and os.geteuid() == 0):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(30)
    yield Tab(driver)
    driver.quit()


@pytest.fixture
def tab(browser: Tab, page: Path) -> Tab:
    """The page as it opens."""
    browser.look(1280)
    browser.open(page)
    return browser


def test_it_opens_without_errors_and_asks_for_nothing(tab: Tab) -> None:
    assert tab.driver.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in tab.driver.get_log("performance")]
    addresses = [each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"]
    assert any(address.endswith("report.html") for address in addresses)
    assert not [address for address in addresses if not address.startswith(("file:", "data:", "blob:"))]


def test_every_chart_that_is_shown_is_drawn(tab: Tab) -> None:
    shown = "[...document.querySelectorAll('.chart')].filter((chart) => chart.offsetParent)"
    marks = "chart.querySelectorAll('.mark-rect path, .mark-symbol path, .mark-line path').length"
    drawn = tab.js(f"return {shown}.map((chart) => [chart.id, {marks}, chart.querySelector('svg').clientHeight])")
    assert len(drawn) > 30
    assert not [each for each in drawn if each[1] < 1 or each[2] < 30]


def test_cases_are_filtered_in_charts_and_tables(tab: Tab) -> None:
    assert "small (32,64,32,128)" in tab.figures("frameworks")
    assert "small" in tab.cells("frameworks", "Every time", "case")
    tab.check("frameworks", "case", "small")
    assert not [title for title in tab.figures("frameworks") if title.startswith("small")]
    assert "small" not in (cases := tab.cells("frameworks", "Every time", "case"))
    assert {"tutorial", "medium"} <= set(cases)
    assert any(title.startswith("small") for title in tab.figures("engine"))  # another section chooses for itself
    tab.check("frameworks", "case", "small")
    assert "small (32,64,32,128)" in tab.figures("frameworks")


def test_the_mean_is_that_of_the_chosen_cases(tab: Tab) -> None:
    """A figure that the page itself computes."""
    texts = (
        "const figure = [...document.querySelectorAll('#frameworks figure')].find((figure) =>"
        " figure.querySelector('h4').textContent === 'forward');"
        "return [...figure.querySelectorAll('.mark-text.role-mark text')].map((text) => text.textContent)"
    )
    rows = timed_rows("forward")
    assert f"{len(rows)} cases" in tab.js(texts)
    for case in rows.keys() - {"tutorial"}:
        tab.check("frameworks", "case", case)
    ratio = rows["tutorial"].ratio("native")
    assert ratio
    found = [float(text.strip("×")) for text in tab.js(texts) if text.endswith("×")]
    assert "1 case" in tab.js(texts)
    assert min(abs(value / ratio.median - 1) for value in found) < 0.01


def test_sorting_by_speed_moves_bars_and_rows(tab: Tab) -> None:
    before = tab.bars("frameworks", "tutorial")
    tab.js(
        "const select = document.querySelector('#frameworks select[name=order]'); select.value = 'value';"
        "select.dispatchEvent(new Event('change', {bubbles: true}))"
    )
    tab.settle()
    row = timed_rows("forward+backward")["tutorial"]
    speeds = {name: ratio.median for name in row.seconds if (ratio := row.ratio(name))}
    wanted = sorted(speeds, key=lambda name: -speeds[name])
    assert tab.bars("frameworks", "tutorial") == wanted != before
    found = [
        float(cell.strip("~").replace(",", ""))
        for cell in tab.cells("frameworks", "Every time", "speed")
        if cell != "-"
    ]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_overflows(tab: Tab, page: Path, width: int) -> None:
    """Not with all tables open either."""
    tab.look(width)
    tab.open(page)
    tab.js("document.querySelectorAll('details.sheet').forEach((sheet) => { sheet.open = true; })")
    tab.settle()
    assert tab.js("return document.scrollingElement.scrollWidth") <= width
    assert tab.js("return innerWidth") == width


def luminance(colour: tuple[float, ...]) -> float:
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: str, other: str) -> float:
    """Of two computed colours, by WCAG 2."""
    pair = sorted(luminance(tuple(int(part) / 255 for part in re.findall(r"\d+", each)[:3])) for each in (one, other))
    return (pair[1] + 0.05) / (pair[0] + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(tab: Tab, page: Path, scheme: str) -> None:
    tab.look(1280, scheme)
    tab.open(page)
    colours = tab.js(
        "const ground = (element) => { for (let at = element; at; at = at.parentElement) {"
        " const colour = getComputedStyle(at).backgroundColor; if (!colour.endsWith(', 0)')) return colour; }"
        " return 'rgb(255, 255, 255)' };"
        "const found = {}; for (const element of document.querySelectorAll("
        "  'h1, h2, h3, h4, p, a, td, th, button, summary, dt, dd, .chart svg text')) {"
        "  const style = getComputedStyle(element); if (!element.getClientRects().length) continue;"
        "  const colour = element.matches('svg text') ? style.fill : style.color;"
        "  found[[colour, ground(element)].join(' on ')] = element.outerHTML.slice(0, 80); } return found"
    )
    assert len(colours) > 5
    assert not {pair: what for pair, what in colours.items() if contrast(*pair.split(" on ")) < 4.5}
    paper = tab.js("return getComputedStyle(document.body).backgroundColor")
    assert (luminance(tuple(int(part) / 255 for part in re.findall(r"\d+", paper)[:3])) < 0.2) == (scheme == "dark")
