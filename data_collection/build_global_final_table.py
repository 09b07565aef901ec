"""Build `final_dataset_all.parquet` anew from the CSVs of a final dataset."""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.run("build_global_final_table")
