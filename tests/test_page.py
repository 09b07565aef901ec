"""The report's page: static HTML that stands alone, and what a real browser makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from data_collection.report.model import (
    ColumnRow,
    Coverage,
    Distribution,
    Provenance,
    Reconciled,
    Report,
    TableSummary,
)
from data_collection.report.page import SHOWN, render
from pipeline.checks.finding import Finding, Severity, Span
from pipeline.keys import epoch_us
from tests.conftest import need_tool

SECTIONS = (
    "findings",
    "coverage",
    "outages",
    "nulls",
    "reconciliation",
    "distributions",
    "provenance",
)
SYMBOLS = ("BTCUSDT", "币安人生USDT", "<b>ODD&USDT")
DAY = Span(epoch_us(date(2024, 2, 9)), epoch_us(date(2024, 2, 10)))
KEY = "data/futures/um/daily/klines/币安人生USDT/1m/币安人生USDT-1m-2024-02-09.zip"


def finding(check: str, severity: Severity, symbol: str = SYMBOLS[1]) -> Finding:
    return Finding(severity, check, "klines:1m", symbol, DAY, "bars", "5 h missing", (KEY,))


@pytest.fixture(scope="module")
def report() -> Report:
    """A report with something in every section, and names that HTML must escape."""
    groups = {"base bar": 0.0, "derived": 0.25}
    return Report(
        created_at="2024-03-01T00:00:00+00:00",
        market="um",
        start="2024-01-01",
        end="2024-02-29",
        symbols=SYMBOLS,
        findings=(
            finding("missing-bars", Severity.ERROR),
            finding("price-jump", Severity.WARNING, SYMBOLS[2]),
            finding("exchange-outage", Severity.INFO, "*"),
        ),
        coverage=(
            Coverage(
                "klines:1m",
                ("2024-01", "2024-02"),
                {name: (1.0, 0.5 if i else None) for i, name in enumerate(SYMBOLS)},
            ),
        ),
        reconciled={name: Reconciled(100, 60, 30, 8, 2, ("2024-02",)) for name in SYMBOLS},
        provenance=Provenance(
            "alphaqcm check", {"polars": "2"}, "a source", 7, "ab", {"metrics": 7}
        ),
        table=TableSummary(
            path="final_dataset_all.parquet",
            rows=4320,
            columns=(ColumnRow("close", "base bar", 1, 0, 1.5, 2.5, "2024-01-01 00:00", ""),),
            null_shares={group: dict.fromkeys(SYMBOLS, share) for group, share in groups.items()},
            symbols=dict.fromkeys(SYMBOLS, (1440, "2024-01-01 00:00", "2024-02-29 23:00")),
            distributions=(
                Distribution("returns_1h", "fraction", 9, {"50%": 0.1}, (0.0, 0.5, 1.0), (4, 5)),
            ),
        ),
    )


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render(report)


class Tags(HTMLParser):
    """Every tag with its attributes, every text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_asks_the_network_for_nothing(html: str) -> None:
    parsed = Tags(html)
    assert not {"script", "iframe", "object", "embed", "audio", "video"} & {
        t for t, _ in parsed.tags
    }
    for tag, attributes in parsed.tags:
        for name in ("src", "srcset", "data", "xlink:href", "href"):
            value = attributes.get(name) or ""
            if tag != "a":
                assert value.startswith(("data:", "#")) or not value, (tag, value)
    assert "@import" not in html
    assert "url(http" not in html


def test_every_section_is_there_with_a_table_for_every_drawing(html: str) -> None:
    for section in SECTIONS:
        body = html.partition(f'<section id="{section}"')[2].partition("</section>")[0]
        assert "<h2" in body
        assert body.count("<table") >= (1 if "<svg" in body else 0)
    assert html.count("<svg role=") == 5


def test_no_two_elements_share_an_id(html: str) -> None:
    ids = [a["id"] for _, a in Tags(html).tags if a.get("id")]
    assert len(ids) == len(set(ids))


def test_names_are_escaped(html: str) -> None:
    assert "<b>ODD" not in html
    assert any("<b>ODD&USDT" in text for text in Tags(html).texts)


def test_evidence_links_to_the_archives_own_file(html: str) -> None:
    links = [a["href"] for tag, a in Tags(html).tags if tag == "a"]
    address = "https://data.binance.vision/data/futures/um/daily/klines/%E5%B8%81%E5%AE%89%E4%BA%BA"
    assert any((link or "").startswith(address) for link in links)


def test_the_same_report_gives_the_same_bytes(report: Report, html: str) -> None:
    assert render(report) == html


def test_findings_that_say_the_same_stand_in_one_line(report: Report) -> None:
    same = [
        finding("missing-bars", Severity.ERROR, name) for name in ("A", "B", "C", "D", "E", "F")
    ]
    html = render(replace(report, findings=tuple(same)))
    assert html.count('<td data-label="Check">missing-bars</td>') == 1
    assert "A, B, C, D and 2 more" in html


def test_more_findings_than_a_page_holds_are_told_by_number(report: Report) -> None:
    many = [
        replace(finding("price-jump", Severity.WARNING), found=f"+{number}")
        for number in range(SHOWN + 5)
    ]
    html = render(replace(report, findings=tuple(many)))
    assert html.count('<td data-label="Check">price-jump</td>') == SHOWN
    assert f"The first {SHOWN} of {SHOWN + 5} lines" in html


def test_a_root_without_table_or_findings_says_so(report: Report) -> None:
    empty = replace(report, findings=(), table=None, reconciled={}, coverage=())
    html = render(empty)
    assert "No check found anything." in html
    assert "There is no final table" in html


def test_the_report_is_json(report: Report) -> None:
    told = orjson.loads(orjson.dumps(report.to_dict()))
    assert (told["verdict"], told["counts"]) == ("error", {"error": 1, "warning": 1, "info": 1})
    assert [Finding.from_dict(one) for one in told["findings"]] == list(report.findings)


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


def test_nothing_is_wider_than_a_phone(browser: Browser, html: str, tmp_path: Path) -> None:
    page = opened(browser, html, tmp_path, 360, script=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


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
