"""Build `final_dataset_all.parquet` anew from the CSVs of a final dataset."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()
    from alphaqcm.data_collection.commands.script_actions import main

    sys.exit(main("build_global_final_table"))
