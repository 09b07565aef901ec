"""What must happen before anything else is imported: find the packages, or say how to get them.

A script started as `python3 data_collection/NAME.py` has this folder, not the project's root, on
its module path; and the python may lack the dependencies. Each script calls `start` first of all.
"""

from __future__ import annotations

import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
NEEDED = (
    "aiohttp", "aria2p", "duckdb", "filelock", "isal", "jinja2", "msgpack", "msgspec", "numba",
    "numpy", "orjson", "pandas", "polars", "pyarrow", "requests", "rich", "shtab", "tenacity",
    "tqdm", "xxhash", "yaml",
)  # fmt: skip


ONE_THREAD = {"POLARS_MAX_THREADS": "1"}
"""The environment of a process that shares the machine with one a core like it."""


def use_one_thread() -> None:
    """Give polars one thread, unless the user chose; to be called before polars is imported."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)


def start() -> None:
    """Put the project's root, not this folder, on the module path; exit 2 without packages."""
    here = os.path.join(ROOT, "data_collection")  # noqa: PTH118
    # in site-packages this folder is alphaqcm/data_collection, in a checkout beside alphaqcm/
    root = os.path.dirname(ROOT) if os.path.basename(ROOT) == "alphaqcm" else ROOT  # noqa: PTH119, PTH120
    sys.path[:] = [root] + [p for p in sys.path if os.path.abspath(p or ".") != here]  # noqa: PTH100
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        again = " ".join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])
        sys.stderr.write(
            f"this python ({sys.executable}) lacks {', '.join(missing)}.\n"
            f"run: make -C {ROOT} venv && {ROOT}/.venv/bin/python {again}\n"
        )
        sys.exit(2)
