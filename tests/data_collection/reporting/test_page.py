"""The report's page: static HTML that stands alone."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import orjson
import pytest

from alphaqcm.data_collection.archive.sources import OFFICIAL_SOURCE
from alphaqcm.data_collection.reporting.quality.colours import bands
from alphaqcm.data_collection.reporting.quality.model import (
    Coverage,
    Reconciled,
    Report,
)
from alphaqcm.data_collection.reporting.quality.page import (
    AT_ONCE,
    SECTIONS,
    SHOWN,
    render,
)
from alphaqcm.pipeline.checks.finding import Finding, Severity
from tests.helpers.quality_report import DAY, KEY, SYMBOLS, finding


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
