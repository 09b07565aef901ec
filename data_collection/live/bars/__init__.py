"""Closed bars: what is expected of each symbol, what is missing, and how it is mended."""
