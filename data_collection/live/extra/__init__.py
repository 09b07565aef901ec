"""Streams beside the candles: aggregated trades without gaps, mark prices, forced orders."""
