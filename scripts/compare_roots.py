"""Compare two data roots, folders or URLs of object stores, file by file and byte by byte.

usage: python scripts/compare_roots.py ROOT ROOT

Times of making, and what tells the source's address, are left out of manifests and sidecars.
Exit code 1 where a layer's file or a table differs.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphaqcm.data_collection.archive.objects.object_store import ObjectStore, is_store_url

WORKING = ("_tmp/months/", "_tmp/symbol_tables/")
TOLD = ("created_at_utc", "created_at", "digest", "source")


def main() -> int:
    first, second = (dict(results(name)) for name in sys.argv[1:3])
    differ = sorted(name for name in first.keys() | second if first.get(name) != second.get(name))
    for name in differ[:20]:
        print(f"differs: {name}")
    print(f"{len(first.keys() & second) - len(differ):,} files are equal, {len(differ):,} differ")
    return 1 if differ or not first else 0


def results(root: str) -> Iterator[tuple[str, str]]:
    """Name and digest of every layer's file and table."""
    for name, data in files(root):
        if name.startswith("_tmp/") and not name.startswith(WORKING):
            continue
        if name.split("/")[-1].startswith(".") or name.startswith(("sample_archive/", "mirror.")):
            continue
        yield name, digest(name, data)


def files(root: str) -> Iterator[tuple[str, bytes]]:
    if is_store_url(root):
        store = ObjectStore(root, Path("/nowhere"))
        for key, _ in store.objects(store.root):
            yield key, store.read(store.root / key) or b""
        return
    for path in Path(root).rglob("*"):
        if path.is_file() and "sample_archive" not in path.parts:
            yield path.relative_to(root).as_posix(), path.read_bytes()


def digest(name: str, data: bytes) -> str:
    if name.endswith((".meta.json", ".manifest.json")):
        told = {key: value for key, value in orjson.loads(data).items() if key not in TOLD}
        data = orjson.dumps(told, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
