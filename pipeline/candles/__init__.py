"""Candles of any interval, at any offset, from finer ones: the one definition that all share."""
