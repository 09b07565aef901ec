"""A client of MarketStore servers, `alphaqcm marketstore start` among them.

    from alphaqcm import marketstore

    client = marketstore.Client("http://localhost:5993/rpc")
    frame = client.query("BTCUSDT/1m/OHLCV", start="2024-01-01", end="2024-01-31").df()

It builds on pymarketstore: `pip install 'alphaqcm-data[marketstore]'`.
"""

from __future__ import annotations

from alphaqcm.data_collection.extras import Extra, require_extra

require_extra("pymarketstore", Extra.MARKETSTORE)

from alphaqcm.data_collection.marketstore.client import DEFAULT_ENDPOINT, Client, Reply  # noqa: E402

__all__ = ["DEFAULT_ENDPOINT", "Client", "Reply"]
