"""Whether this machine has compiled what the package compiles: a mark beside what Numba keeps."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import xxhash

import alphaqcm
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.storage.atomic_write import write_bytes

_ROOMS = ("features", "reading/aggtrades", "storage")  # of the core, those that have kernels


def is_compiled() -> bool:
    """Whether all was compiled here from these sources, by this Numba, for this processor."""
    return _mark().exists()


def mark_compiled() -> None:
    """Say so, where it can be written."""
    mark = _mark()
    with contextlib.suppress(OSError, LayerError):
        if not mark.exists():
            mark.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(mark, b"")


def _mark() -> Path:
    """Its name is a digest of all that the compiled functions depend on."""
    core = Path(alphaqcm.__file__).parent / "pipeline"
    made_by = f"{version('numba')} {version('numpy')} {sys.version} {_processor()}"
    found = xxhash.xxh3_128(made_by.encode())
    for room in _ROOMS:
        for path in sorted((core / room).rglob("*.py")):
            found.update(path.read_bytes())
    return _folder(core) / f"alphaqcm-compiled-{found.hexdigest()}"


def _folder(core: Path) -> Path:
    """Where Numba keeps what it compiles: beside the sources where that can be written."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen)
    beside = core / "__pycache__"
    if os.access(beside if beside.exists() else core, os.W_OK):
        return beside
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "alphaqcm"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor()
