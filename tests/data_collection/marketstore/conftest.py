"""Endpoints over real data roots, made once a test session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pymarketstore as pymkts
import pytest

from tests.helpers.marketstore_server import Served, month_with_holes, served


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of a month of minutes with holes."""
    return month_with_holes(tmp_path_factory.mktemp("month"))


@pytest.fixture(scope="session")
def endpoint(month: Path) -> Iterator[Served]:
    """An endpoint over `month`."""
    with served(month) as running:
        yield running


@pytest.fixture
def client(endpoint: Served) -> pymkts.Client:
    """The real client of it."""
    return endpoint.client()
