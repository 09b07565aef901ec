"""Binance's public data, turned into research-ready tables.

The folders `pipeline/` (the core) and `data_collection/` (the shell) of the repository are
subpackages of this one, so that an installation adds no generic name to site-packages.
"""
