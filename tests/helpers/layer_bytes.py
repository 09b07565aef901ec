"""Every result of a data root by its bytes, what tells the time of its making left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path


def layer_bytes(root: Path) -> dict[str, str]:
    """SHA-256 by name below the root: layers, stages, tables, and the month files in `_tmp`."""
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return digests((name, (root / name).read_bytes()) for name in names)


def digests(files: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """The same of files that are read already, wherever they lie."""
    return {name: _digest(name, data) for name, data in sorted(files) if _is_result(name)}


def _is_result(name: str) -> bool:
    if name.startswith("_tmp/"):
        return name.split("/")[1] in ("months", "symbol_tables") and not name.endswith(".lock")
    return not name.split("/")[-1].startswith(".")


def _digest(name: str, data: bytes) -> str:
    if name.endswith((".meta.json", ".manifest.json")):
        told = json.loads(data)
        for when in ("created_at_utc", "created_at", "digest", "source"):
            told.pop(when, None)
        data = json.dumps(told).encode()
    return hashlib.sha256(data).hexdigest()
