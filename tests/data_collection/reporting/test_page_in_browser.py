"""What a real browser makes of the report's page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.image import imread
from playwright.sync_api import Browser, Page, sync_playwright

from alphaqcm.data_collection.reporting.quality.colours import DIFFERENT
from alphaqcm.data_collection.reporting.quality.model import (
    Distribution,
    Reconciled,
    Report,
)
from alphaqcm.data_collection.reporting.quality.page import (
    LEGENDS,
    SECTIONS,
    render,
)
from tests.conftest import need_tool


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real chromium without a window; skips where none is installed."""
    path = need_tool("chromium")
    words = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=words)
        yield running
        running.close()


def opened(browser: Browser, html: str, folder: Path, width: int, *, script: bool) -> Page:
    file = folder / "report.html"
    file.write_text(html, encoding="utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": 900}, java_script_enabled=script, offline=True
    )
    page = context.new_page()
    page.goto(file.as_uri())
    return page


def test_a_browser_shows_every_section_without_a_word_on_the_console(
    browser: Browser, html: str, tmp_path: Path
) -> None:
    page = opened(browser, html, tmp_path, 1280, script=True)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.reload()
    for section in SECTIONS:
        box = page.locator(f"#{section}").bounding_box()
        assert box is not None
        assert box["height"] > 50
    for drawing in page.locator("svg[role=img]").all():
        box = drawing.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 60
    assert said == []


@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_is_accessible(browser: Browser, html: str, tmp_path: Path, width: int) -> None:
    page = opened(browser, html, tmp_path, width, script=True)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    result = Axe().run(page)
    assert result.violations_count == 0, result.generate_report()


def test_the_accessibility_check_finds_a_planted_fault(
    browser: Browser, html: str, tmp_path: Path
) -> None:
    page = opened(browser, html.replace('<html lang="en">', "<html>"), tmp_path, 1280, script=True)
    faults = Axe().run(page).response["violations"]
    assert [fault["id"] for fault in faults] == ["html-has-lang"]


def color_of_cell(page: Page, part: str, row: int, column: int, size: tuple[int, int]) -> str:
    """The colour that the browser shows in the middle of a map's cell; `size` is rows, columns."""
    box = page.locator(f"#{part} svg image").bounding_box()
    assert box is not None
    pixels = imread(io.BytesIO(page.screenshot(full_page=True)))
    y = box["y"] + box["height"] * (row + 0.4) / size[0]
    x = box["x"] + box["width"] * (column + 0.4) / size[1]
    red, green, blue = (round(float(part) * 255) for part in pixels[int(y), int(x)][:3])
    return f"rgb({red}, {green}, {blue})"


@pytest.mark.parametrize(
    ("part", "cell", "size", "meaning"),
    [
        ("coverage", (0, 0), (3, 2), "complete"),
        ("coverage", (1, 1), (3, 2), "50 to 90 %"),
        ("nulls", (0, 0), (3, 2), "no nulls"),
        ("nulls", (0, 1), (3, 2), "10 to 50 %"),
    ],
)
def test_a_cell_has_the_colour_that_the_legend_gives_its_share(
    browser: Browser,
    html: str,
    tmp_path: Path,
    part: str,
    cell: tuple[int, int],
    size: tuple[int, int],
    meaning: str,
) -> None:
    page = opened(browser, html, tmp_path, 1280, script=True)
    swatch = page.locator(f"#{part} .legend li", has_text=meaning).locator(".swatch")
    color = swatch.evaluate("one => getComputedStyle(one).backgroundColor")
    assert color_of_cell(page, part, *cell, size) == color


def test_one_hour_of_many_that_differs_is_seen(
    browser: Browser, report: Report, tmp_path: Path
) -> None:
    one = replace(report, reconciled={"XUSDT": Reconciled(43_800, 43_799, 0, 1)})
    page = opened(browser, render(one), tmp_path, 1280, script=True)
    bar = page.locator(f'#reconciliation svg path[style*="{DIFFERENT.color}"]').bounding_box()
    assert bar is not None
    assert bar["width"] > 1


def test_legends_are_whole_on_a_phone(browser: Browser, html: str, tmp_path: Path) -> None:
    page = opened(browser, html, tmp_path, 360, script=True)
    boxes = [one.bounding_box() for one in page.locator(".legend li").all()]
    assert len(boxes) == sum(map(len, LEGENDS.values()))
    assert all(box is not None and box["x"] + box["width"] <= 360 for box in boxes)


def test_nothing_is_wider_than_a_phone(browser: Browser, html: str, tmp_path: Path) -> None:
    page = opened(browser, html, tmp_path, 360, script=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def lines_seen(page: Page) -> list[str]:
    """The checks whose lines are to be seen among the findings."""
    cells = page.locator("#findings td[data-label=Check]").all()
    return [cell.inner_text() for cell in cells if cell.is_visible()]


def test_without_script_the_findings_of_one_check_can_be_seen_alone(
    browser: Browser, html: str, tmp_path: Path
) -> None:
    page = opened(browser, html, tmp_path, 1280, script=False)
    assert lines_seen(page) == ["missing-bars", "price-jump", "exchange-outage"]
    page.locator("#check-price-jump").check()
    assert lines_seen(page) == ["price-jump"]
    page.locator("#severity-info").check()
    assert lines_seen(page) == []
    page.get_by_label("all").last.check()
    assert lines_seen(page) == ["exchange-outage"]


@pytest.mark.parametrize("width", [1280, 1600])
def test_drawings_over_the_whole_time_are_as_wide_as_the_tables(
    browser: Browser, html: str, tmp_path: Path, width: int
) -> None:
    page = opened(browser, html, tmp_path, width, script=True)
    table = page.locator("#findings table").first.bounding_box()
    for name in ("outages", "reconciliation", "distributions"):
        drawing = page.locator(f"#{name} svg[role=img]").bounding_box()
        assert drawing is not None
        assert table is not None
        assert drawing["width"] == pytest.approx(table["width"], abs=1)


def test_without_script_all_tables_open(browser: Browser, html: str, tmp_path: Path) -> None:
    page = opened(browser, html, tmp_path, 1280, script=False)
    for summary in page.locator("summary").all():
        summary.click()
    assert all(table.is_visible() for table in page.locator("table").all())
    assert page.locator("table").count() == html.count("<table")


def test_the_page_can_be_printed(browser: Browser, html: str, tmp_path: Path) -> None:
    page = opened(browser, html, tmp_path, 1280, script=True)
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("#findings table").is_visible()


def test_a_page_with_long_numbers_fits_on_paper(
    browser: Browser, report: Report, tmp_path: Path
) -> None:
    assert report.table is not None
    levels = {f"{level}%": -0.000123456 for level in (0, 1, 25, 50, 75, 99, 100)}
    factor = Distribution(
        "a_factor_with_a_name", "log return per hour", 9, levels, (0.0, 1.0), (4,)
    )
    table = replace(report.table, distributions=(factor,))
    page = opened(browser, render(replace(report, table=table)), tmp_path, 700, script=True)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
