"""The table of layers, held against the documented data root."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.domain.symbol import Symbol
from alphaqcm.pipeline.storage.layout import LAYERS, STAGES, Layer, Layout, Place

PAGE = Path(__file__).resolve().parents[3] / "AlphaQCM_data" / "README.md"
BTC = Symbol(Market.UM, "BTCUSDT")
MONTH = Period.month(date(2024, 2, 1))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_every_layer_is_on_the_page_of_the_data_root(layer: Layer) -> None:
    place = {Place.MARKET: "", Place.TEMP: "_tmp/", Place.MONTHS: "_tmp/months/"}[layer.place]
    name = layer.pattern if layer.name == "final" else layer.folder
    wanted = place if layer.place is Place.MONTHS else place + name.format(variant="")
    assert f"`{wanted}" in PAGE.read_text(encoding="utf-8")


def test_every_folder_on_the_page_that_is_made_here_is_a_layer() -> None:
    folders = set(re.findall(r"`((?:binance|crypto)_\w+)/", PAGE.read_text(encoding="utf-8")))
    never_written = {
        "binance_liquidations",
        "crypto_data",
        "crypto_derivatives",
        "crypto_hourly_derivatives",
    }
    assert folders - never_written <= {layer.folder for layer in LAYERS}


@pytest.mark.parametrize("market", Market)
def test_files_of_a_layer_are_those_that_its_paths_name(tmp_path: Path, market: Market) -> None:
    layout = Layout(tmp_path, market)
    paths = [
        layout.month_file(DataType.KLINES, "1m", "BTCUSDT", MONTH),
        layout.month_file(DataType.AGGTRADES, "", "BTCUSDT", MONTH),
        layout.month_file(DataType.PREMIUM, "1h", "BTCUSDT", MONTH),
        layout.month_file(DataType.METRICS, "", "BTCUSDT", MONTH),
        *(
            layout.hourly_file(kind, "BTCUSDT")
            for kind in DataType
            if kind != "liquidationSnapshot"
        ),
        *(layout.stage_file(stage, BTC) for stage in STAGES),
        layout.symbol_table(BTC),
        layout.reconciled_file("BTCUSDT", MONTH),
        layout.final_table(),
        layout.final_table("complete_metrics"),
        layout.final_file(BTC),
        layout.final_file(BTC, "complete_metrics"),
    ]
    for path in paths:
        layout.store.replace(path, b"")
    found = [path for layer in LAYERS for path in layout.files(layer)]
    assert sorted(found) == sorted(paths)
