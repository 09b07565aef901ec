"""A quality report and its page."""

from __future__ import annotations

import pytest

from alphaqcm.data_collection.reporting.quality.model import Report
from alphaqcm.data_collection.reporting.quality.page import render
from tests.helpers.quality_report import full_report


@pytest.fixture(scope="module")
def report() -> Report:
    """With something in every section, and names that HTML must escape."""
    return full_report()


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render(report)
