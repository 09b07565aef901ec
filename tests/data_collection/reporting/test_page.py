"""The report's page: static HTML that stands alone, and what a real browser makes of it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import orjson
import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.image import imread
from playwright.sync_api import Browser, Page, sync_playwright

from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.reporting.quality.colours import DIFFERENT, bands
from alphaqcm.data_collection.reporting.quality.model import (
    ColumnRow,
    Coverage,
    Distribution,
    Provenance,
    Reconciled,
    Report,
    TableSummary,
)
from alphaqcm.data_collection.reporting.quality.page import (
    AT_ONCE,
    LEGENDS,
    SECTIONS,
    SHOWN,
    render,
)
from alphaqcm.pipeline.checks.finding import Finding, Severity, TimeRange
from alphaqcm.pipeline.domain.time import epoch_us
from tests.conftest import need_tool

SYMBOLS = ("BTCUSDT", "币安人生USDT", "<b>ODD&USDT")
DAY = TimeRange(epoch_us(date(2024, 2, 9)), epoch_us(date(2024, 2, 10)))
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
            "alphaqcm check", {"polars": "2"}, OFFICIAL_SOURCE, 7, "ab", {"metrics": 7}
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
    for name in SECTIONS:
        body = section(html, name)
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


def from_source(report: Report, source: str) -> Report:
    return replace(report, provenance=replace(report.provenance, source=source))


def test_evidence_of_a_mirror_links_to_the_mirror(report: Report) -> None:
    links = [
        a["href"]
        for tag, a in Tags(render(from_source(report, "http://mirror:81/b/"))).tags
        if tag == "a"
    ]
    assert any((link or "").startswith("http://mirror:81/b/data/futures/um/") for link in links)
    assert not any((link or "").startswith(OFFICIAL_SOURCE) for link in links)


def test_evidence_of_a_directory_is_its_key_without_a_link(report: Report) -> None:
    parsed = Tags(render(from_source(report, "/srv/archive")))
    assert all((a["href"] or "").startswith("#") for tag, a in parsed.tags if tag == "a")
    assert KEY in "".join(parsed.texts)


def test_links_at_the_top_have_the_names_of_the_sections(html: str) -> None:
    links = re.findall(r'<li><a href="#(\w+)">(.+?)</a>', html)
    titles = re.findall(r'<h2 id="(\w+)-h">(.+?)</h2>', html)
    assert links == titles == list(SECTIONS.items())


def section(html: str, name: str) -> str:
    return html.partition(f'<section id="{name}"')[2].partition("</section>")[0]


def coverage(series: str, *rows: tuple[float | None, ...]) -> Coverage:
    months = tuple(f"2024-{month:02}" for month in range(1, len(rows[0]) + 1))
    return Coverage(series, months, {f"S{place}USDT": row for place, row in enumerate(rows)})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(1.0, 1.0), (1.0, 1.0)], "complete, 2 symbols × 2 months"),
        ([(None, 1.0)], "complete in every symbol&#39;s life, 1 symbol × 2 months"),
        ([(0.0,), (0.0,)], "nothing is there, 2 symbols × 1 month"),
        ([(None,), (None,)], "nothing is expected, 2 symbols × 1 month"),
    ],
)
def test_a_series_that_is_alike_everywhere_is_one_line_above_its_table(
    report: Report, rows: list[tuple[float | None, ...]], words: str
) -> None:
    html = section(render(replace(report, coverage=(coverage("metrics", *rows),))), "coverage")
    assert f"<summary>metrics: {words}</summary>" in html
    assert html.count("<table") == 1
    assert "<svg" not in html


def test_a_series_with_a_gap_has_a_map_beside_complete_ones_without(report: Report) -> None:
    series = (coverage("klines:1m", (1.0, 1.0)), coverage("metrics", (1.0, 0.9999)))
    html = section(render(replace(report, coverage=series)), "coverage")
    assert re.findall(r'<svg role="img" aria-label="(.+?)"', html) == ["Coverage of metrics"]
    assert "Not complete in 1 of 2 symbol months" in html


def test_series_with_the_same_gaps_share_a_map(report: Report) -> None:
    series = [coverage(name, (1.0, 0.9)) for name in ("klines:1h", "markPriceKlines:1h")]
    html = section(render(replace(report, coverage=tuple(series))), "coverage")
    assert html.count("<svg role=") == 1
    assert "<h3>klines:1h, markPriceKlines:1h</h3>" in html


def test_hours_that_all_agree_are_a_sentence(report: Report) -> None:
    agreed = replace(report, reconciled=dict.fromkeys(SYMBOLS, Reconciled(1000, 600, 400)))
    html = section(render(agreed), "reconciliation")
    assert "Of 3,000 hours that both have, 1,800 agree exactly" in html
    assert "<svg" not in html
    assert html.count("<table") == 1


def test_columns_of_the_table_with_the_same_fault_stand_in_one_line(report: Report) -> None:
    faults = [
        Finding(
            Severity.WARNING,
            "column-all-null",
            "final",
            "*",
            DAY,
            "values",
            f"{column}: null in every row",
            ("final_dataset_all.parquet",),
        )
        for column in "abcdef"
    ]
    html = render(replace(report, findings=tuple(faults)))
    assert html.count('<td data-label="Check">column-all-null</td>') == 1
    assert "a, b, c, d and 2 more: null in every row" in html


def test_every_missing_share_has_the_band_that_its_legend_names() -> None:
    shares = np.array([0.0, 1e-9, 0.01, 0.1, 0.5, 0.51, 0.9999, 1.0, np.nan])
    assert bands(shares).tolist() == [0, 1, 1, 2, 3, 4, 4, 5, None]


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


def test_many_lines_of_one_check_do_not_hide_the_others(report: Report) -> None:
    many = [
        replace(finding("price-jump", Severity.WARNING), found=f"+{number}")
        for number in range(AT_ONCE + 5)
    ]
    alone = finding("funding-doubled", Severity.WARNING)
    html = render(replace(report, findings=(*many, alone)))
    open_part, fold, _ = html.partition("5 more lines of the same checks: 5 price-jump")
    assert fold
    assert open_part.count('<td data-label="Check">price-jump</td>') == AT_ONCE
    assert '<td data-label="Check">funding-doubled</td>' in open_part


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


def test_findings_are_counted_by_check_and_by_severity(report: Report) -> None:
    more = [finding("price-jump", Severity.WARNING, name) for name in "ABC"]
    html = render(replace(report, findings=(*more, *report.findings)))
    told = dict(re.findall(r'<input type="radio" [^>]*id="([\w-]+)"> [\w-]+ <b>(\d+)</b>', html))
    assert told == {
        "severity-warning": "4",
        "severity-error": "1",
        "severity-info": "1",
        "check-price-jump": "4",
        "check-missing-bars": "1",
        "check-exchange-outage": "1",
    }


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
