"""The endpoint: MarketStore's JSON-RPC over msgpack, and its stream, on HTTP."""
