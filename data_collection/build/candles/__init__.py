"""Candles of whole markets: fetched into a store, folded to hours, compared, completed."""
