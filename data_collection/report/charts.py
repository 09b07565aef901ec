"""The report's drawings: inline SVG by matplotlib, every one also told as a table on the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from data_collection.report.model import Coverage, Distribution, Reconciled
from pipeline.checks.finding import DAY_US, EVERY, Finding
from pipeline.keys import epoch_us

WIDTH = 9.0  # inches
ROW = 0.19  # inches a symbol
SHARES = ListedColormap(
    [*mpl.colormaps["cividis"](np.linspace(0.05, 0.9, 99)), (0.87, 0.93, 0.89, 1.0)]
)
"""Dark where much is missing, one pale green only for what is complete; no red-green contrast."""
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
    # as wide as it was drawn where there is room, smaller else; wide ones are scrolled on a phone
    size = f"width:100%;max-width:{width * 7:.1f}rem;min-width:{40 if width > 6 else 18}rem"
    opening = f'<svg role="img" aria-label="{title}" style="{size}" '
    result.append(svg.replace("<svg ", opening, 1))


def heat_map(coverage: Coverage, title: str) -> str:
    """Symbols down, months across, how much of each is there."""
    names = list(coverage.shares)
    data = np.array(
        [[np.nan if v is None else v for v in coverage.shares[name]] for name in names], dtype=float
    )
    return _matrix(data, names, coverage.months, title, "share of rows there")


def null_map(shares: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Symbols down, column groups across, how much of each has values."""
    groups = list(shares)
    names = list(next(iter(shares.values()), {}))
    data = np.array([[1 - shares[group][name] for group in groups] for name in names], dtype=float)
    return _matrix(data, names, groups, title, "share of values there", turn=True)


def _matrix(
    data: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    bar: str,
    *,
    turn: bool = False,
) -> str:
    height = 1.1 + ROW * max(3, len(rows)) + (0.7 if turn else 0.0)
    width = min(WIDTH, 3.2 + 0.4 * len(columns))
    with _figure(height, title, width) as (figure, result):
        axes = figure.add_subplot()
        image = axes.imshow(
            np.where(data < 1, np.minimum(data, 0.985), data),  # pale is only what is complete
            aspect="auto",
            interpolation="nearest",
            cmap=SHARES,
            vmin=0,
            vmax=1,
        )
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
        step = 1 if turn else -(-len(columns) // 9)
        axes.set_xticks(range(0, len(columns), step), columns[::step], fontsize=8)
        if len(rows) > _TALL and not turn:
            axes.tick_params(axis="x", top=True, labeltop=True)
        if turn:
            axes.tick_params(axis="x", rotation=40)
            for label in axes.get_xticklabels():
                label.set_horizontalalignment("right")
        axes.spines[:].set_visible(False)
        axes.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.6)
        axes.tick_params(which="minor", length=0)
        legend = figure.colorbar(
            image, ax=axes, shrink=min(1.0, 2.2 / height), aspect=12, anchor=(0, 1)
        )
        legend.set_label(bar, fontsize=8)
        legend.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
    return result[0]


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
        thin = (last - first) / 400  # a minute in five years would not be seen
        for line, name in enumerate(names):
            for finding in by_symbol[name]:
                begin = _day(finding.period.start)
                length = max(_day(finding.period.end) - begin, thin)
                color = "#5b6b7a" if name == EVERY else "#b3261e"
                axes.barh(line, length, left=begin, height=0.6, color=color)
        axes.set_yticks(
            range(len(names)), ["all symbols" if name == EVERY else name for name in names]
        )
        axes.invert_yaxis()
        _time_axis(axes, first, last)
    return result[0]


def _day(micros: int) -> float:
    """Matplotlib's date number: days since the epoch."""
    return micros / DAY_US


def _time_axis(axes: Axes, first: float, last: float) -> None:
    axes.set_xlim(first, last)
    axes.xaxis_date(UTC)
    axes.grid(axis="x", color="#dde3e8", linewidth=0.8)
    axes.set_axisbelow(True)


def reconciliation(reconciled: Mapping[str, Reconciled], title: str) -> str:
    """A bar a symbol: hours that agree exactly, within rounding, not, or exist on one side only."""
    names = [name for name, told in reconciled.items() if told.hours + told.one_sided]
    parts = (
        ("exact", "#2f6f4f", [reconciled[name].exact for name in names]),
        ("within rounding", "#9cc5ae", [reconciled[name].rounding for name in names]),
        ("different", "#b3261e", [reconciled[name].mismatched for name in names]),
        ("one side only", "#e0a100", [reconciled[name].one_sided for name in names]),
    )
    with _figure(1.1 + ROW * max(3, len(names)), title) as (figure, result):
        axes = figure.add_subplot()
        left = np.zeros(len(names))
        for label, color, hours in parts:
            axes.barh(range(len(names)), hours, left=left, color=color, label=label, height=0.75)
            left += np.array(hours, dtype=float)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel("hours")
        figure.legend(loc="outside upper center", ncols=4, frameon=False)
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
