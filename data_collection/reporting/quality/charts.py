"""The report's drawings: inline SVG by matplotlib, every one also told as a table on the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.dates import AutoDateFormatter, AutoDateLocator
from matplotlib.figure import Figure

from alphaqcm.data_collection.reporting.quality.colours import (
    ALONE,
    COVERAGE,
    DIFFERENT,
    EVERYWHERE,
    EXACT,
    NULLS,
    ONE_SIDED,
    ROUNDING,
    Swatch,
    bands,
)
from alphaqcm.data_collection.reporting.quality.model import Coverage, Distribution, Reconciled
from alphaqcm.pipeline.checks.finding import EVERY, Finding
from alphaqcm.pipeline.domain.time import DAY_US, epoch_us

WIDTH = 12.0  # inches; as wide as the page
ROW = 0.19  # inches a symbol
_SEEN = 1 / 250
"""Share of an axis below which a bar would not be seen: it is drawn that wide."""
_TALL = 30
"""Symbols from which on the months stand above the drawing as well."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: sharp, searchable, small
    "svg.hashsalt": "alphaqcm",  # the same report gives the same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "text.parse_math": False,  # a `$` in a name is a `$`
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@contextmanager
def _figure(height: float, title: str, width: float = WIDTH) -> Iterator[tuple[Figure, list[str]]]:
    """A figure and the list that receives its SVG."""
    result: list[str] = []
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, result
        stream = io.StringIO()
        with warnings.catch_warnings():
            # our font only measures the text: the reader's browser draws it, with its own fonts
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
            figure.savefig(stream, format="svg", metadata={"Date": None}, dpi=100)
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # the ids of several drawings on one page must differ
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    # wide ones are as wide as the tables, others as they were drawn; a phone scrolls them
    full = width >= WIDTH
    size = "width:100%" if full else f"width:{width * 7:.1f}rem;max-width:100%"
    size += f";min-width:{40 if width > 6 else 18}rem"
    opening = f'<svg role="img" aria-label="{title}" style="{size}" '
    result.append(svg.replace("<svg ", opening, 1))


def heat_map(coverage: Coverage, title: str) -> str:
    """Symbols down, months across, how much of each is there."""
    names = list(coverage.shares)
    missing = np.array(
        [[np.nan if v is None else 1 - v for v in coverage.shares[name]] for name in names],
        dtype=float,
    )
    with _matrix(missing, names, coverage.months, COVERAGE, title) as (axes, result):
        step = -(-len(coverage.months) // 9)
        axes.set_xticks(range(0, len(coverage.months), step), coverage.months[::step], fontsize=8)
        if len(names) > _TALL:
            axes.tick_params(axis="x", top=True, labeltop=True)
    return result[0]


def null_map(shares: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Symbols down, column groups across, how much of each is null."""
    groups = list(shares)
    names = list(next(iter(shares.values()), {}))
    nulls = np.array([[shares[group][name] for group in groups] for name in names], dtype=float)
    with _matrix(nulls, names, groups, NULLS, title, foot=0.7) as (axes, result):
        axes.set_xticks(range(len(groups)), groups, fontsize=8, rotation=40, ha="right")
        for label in axes.get_xticklabels():
            label.set_rotation_mode("anchor")
    return result[0]


@contextmanager
def _matrix(
    missing: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    scale: Sequence[Swatch],
    title: str,
    *,
    foot: float = 0.0,
) -> Iterator[tuple[Axes, list[str]]]:
    """A square for each row and column, in the colour of its band; `foot` is room for labels."""
    height = 0.6 + ROW * max(3, len(rows)) + foot
    width = min(WIDTH, 2.4 + 0.4 * len(columns))
    with _figure(height, title, width) as (figure, result):
        axes = figure.add_subplot()
        axes.imshow(
            bands(missing),
            aspect="auto",
            interpolation="nearest",
            cmap=ListedColormap([swatch.color for swatch in scale]),
            vmin=-0.5,
            vmax=len(scale) - 0.5,
        )
        edges = axes.axis()
        # one collection each way: minor ticks with a grid take longer than all the rest
        axes.vlines(np.arange(1, len(columns)) - 0.5, *edges[2:], color="white", linewidth=0.6)
        axes.hlines(np.arange(1, len(rows)) - 0.5, *edges[:2], color="white", linewidth=0.6)
        axes.axis(edges)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
        axes.spines[:].set_visible(False)
        yield axes, result


def timeline(findings: Sequence[Finding], start: str, end: str, title: str) -> str:
    """When rows are missing: one line a symbol, the exchange's own outages on top."""
    by_symbol: dict[str, list[Finding]] = {}
    for finding in findings:
        by_symbol.setdefault(finding.symbol, []).append(finding)
    names = sorted(by_symbol, key=lambda name: (name != EVERY, name))
    with _figure(0.9 + 0.24 * max(2, len(names)), title) as (figure, result):
        axes = figure.add_subplot()
        first, last = (
            _day(epoch_us(date.fromisoformat(start))),
            _day(epoch_us(date.fromisoformat(end)) + DAY_US),
        )
        thin = (last - first) * _SEEN  # a minute in five years
        for line, name in enumerate(names):
            begins = [_day(finding.period.start) for finding in by_symbol[name]]
            ends = [_day(finding.period.end) for finding in by_symbol[name]]
            spans = [(a, max(b - a, thin)) for a, b in zip(begins, ends, strict=True)]
            color = (EVERYWHERE if name == EVERY else ALONE).color
            axes.broken_barh(spans, (line - 0.3, 0.6), color=color)
        axes.set_yticks(
            range(len(names)), ["all symbols" if name == EVERY else name for name in names]
        )
        axes.set_ylim(max(2, len(names)) - 0.5, -0.5)
        _time_axis(axes, first, last)
    return result[0]


def _day(micros: int) -> float:
    """Matplotlib's date number: days since the epoch."""
    return micros / DAY_US


def _time_axis(axes: Axes, first: float, last: float) -> None:
    axes.set_xlim(first, last)
    # evenly, not from each month's first day on: labels at a month's end would overlap
    locator = cast(Any, AutoDateLocator)(tz=UTC, maxticks=8, interval_multiples=False)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(cast(Any, AutoDateFormatter)(locator, tz=UTC))
    axes.grid(axis="x", color="#dde3e8", linewidth=0.8)
    axes.set_axisbelow(True)


def reconciliation(reconciled: Mapping[str, Reconciled], title: str) -> str:
    """A bar a symbol: hours that differ, exist on one side only, agree within rounding, exactly."""
    names = [name for name, told in reconciled.items() if told.hours + told.one_sided]
    longest = max(reconciled[name].hours + reconciled[name].one_sided for name in names)
    parts = (
        (DIFFERENT, [reconciled[name].mismatched for name in names]),
        (ONE_SIDED, [reconciled[name].one_sided for name in names]),
        (ROUNDING, [reconciled[name].rounding for name in names]),
        (EXACT, [reconciled[name].exact for name in names]),
    )
    with _figure(0.8 + ROW * max(3, len(names)), title) as (figure, result):
        axes = figure.add_subplot()
        left = np.zeros(len(names))
        for swatch, hours in parts:
            there = np.flatnonzero(hours)
            wide = np.maximum(np.array(hours, dtype=float)[there], longest * _SEEN)
            axes.barh(there, wide, left=left[there], color=swatch.color, height=0.75)
            left[there] += wide
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_ylim(max(3, len(names)) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)  # it would hide the thin bars, which matter most
        axes.set_xlabel("hours")
    return result[0]


def distributions(found: Sequence[Distribution], title: str) -> str:
    """Small histograms of the key factors, between their 1 % and 99 % quantiles."""
    rows = -(-len(found) // 4)
    with _figure(1.75 * rows, title) as (figure, result):
        for place, one in enumerate(found, start=1):
            axes = figure.add_subplot(rows, 4, place)
            axes.stairs(one.counts, one.edges, fill=True, color="#33658a")
            axes.set_title(one.column, fontsize=9)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.locator_params(axis="x", nbins=3)
            axes.tick_params(axis="x", labelsize=8)
            axes.axvline(one.quantiles["50%"], color="#111", linewidth=1)
    return result[0]
