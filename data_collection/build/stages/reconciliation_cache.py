"""What a month's aggTrades and klines say of each other, kept beside the month files.

Comparing two month files costs a read of both; a report over years only reads what is kept. It is
kept under the fingerprints of both files and made again when one of them changes.
"""

from __future__ import annotations

from typing import Any

from alphaqcm.pipeline.checks.reconcile import VERSION, reconcile_month
from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.domain.registry import DataType, contract_usd
from alphaqcm.pipeline.errors import DiskFull, LayerError
from alphaqcm.pipeline.storage.artifact import read_fingerprint, read_frame, read_json
from alphaqcm.pipeline.storage.file_digest import sealed_json
from alphaqcm.pipeline.storage.layout import Layout


def reconciled(layout: Layout, symbol: str, month: Period) -> dict[str, Any] | None:
    """`reconcile_month` of the month files at hand, made when it is not kept; None without both.

    Raises `LayerError` for a month file that cannot be read, `DiskFull`.
    """
    trades = layout.month_file(DataType.AGGTRADES, "", symbol, month)
    klines = layout.month_file(DataType.KLINES, "1m", symbol, month)
    store = layout.store
    sides = [read_fingerprint(trades, store), read_fingerprint(klines, store)]
    if any(side is None for side in sides):
        return None
    made_of = [side.digest for side in sides if side is not None] + [f"{VERSION}"]
    path = layout.reconciled_file(symbol, month)
    kept = read_json(path, store)
    if kept is not None and kept.get("made_of") == made_of:
        return dict(kept["told"])
    told = reconcile_month(
        read_frame(trades, store=store),
        read_frame(klines, store=store),
        contract_usd(layout.market, symbol),
    )
    try:
        store.replace(path, sealed_json({"made_of": made_of, "told": told}))
    except DiskFull:
        raise
    except LayerError:
        pass  # a data root that cannot be written can be read: it is compared again next time
    return told
