"""The whole road, from the archive to the final table: `alphaqcm run` under its older name.

Takes the same options.
"""

from __future__ import annotations

if __name__ == "__main__":
    import _bootstrap  # type: ignore[import-not-found]  # beside this file, before any package

    _bootstrap.start()

import sys

from alphaqcm.data_collection.commands.build.run import configure, run
from alphaqcm.data_collection.commands.main import run_module

__all__ = ["configure", "run"]


if __name__ == "__main__":
    sys.exit(run_module(sys.modules[__name__], sys.argv[1:], "run_full_pipeline"))
