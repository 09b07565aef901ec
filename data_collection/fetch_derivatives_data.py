"""Fetch everything but trades and minutes, to its hourly CSVs."""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.run("fetch_derivatives_data")
