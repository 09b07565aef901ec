"""Which sample lies in a directory: a note beside the tree, so that no two samples mix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.sample.spec import SampleSpec
from alphaqcm.pipeline.storage.artifact import read_json
from alphaqcm.pipeline.storage.atomic_write import write_bytes

NAME = "sample.json"


def claim(dest: Path, spec: SampleSpec) -> None:
    """Note that `dest` holds the sample `spec`, which may be a longer or wider one than before.

    More days, more symbols and other traps go on with the sample that is there: its other files
    stay as they are, those included that a trap would leave out. Raises `UsageError` where `dest`
    holds another sample of the market, or an archive tree that is none, and leaves it as it is.
    """
    path = dest / NAME
    notes: dict[str, Any] = {}
    if (dest / "data").exists():  # else nothing came of what the note tells
        known = read_json(path)
        if known is None:
            raise _taken(dest, "an archive tree that is no sample")
        notes = known
    mine = _ground(spec)
    begun = (dest / "data" / spec.market.archive_path).exists()
    there = notes.get(spec.market.value, mine) if begun else mine
    if there != mine:
        words = [f"{name} {there[name]}" for name in mine if there[name] != mine[name]]
        raise _taken(dest, f"a sample with {', '.join(words)}")
    write_bytes(path, orjson.dumps(notes | {spec.market.value: mine}, option=orjson.OPT_INDENT_2))


def _ground(spec: SampleSpec) -> dict[str, str | int | bool]:
    """What every file of a sample stands on: files of two such grounds do not go together."""
    return {
        "seed": spec.seed,
        "first day": spec.first.isoformat(),
        "trades per day": spec.trades_per_day,
        "minutes only": spec.minutes_only,
        "daily since": f"{spec.daily_since or 'the first day'}",
    }


def _taken(dest: Path, found: str) -> UsageError:
    return UsageError(
        dest,
        expected="an empty directory, or the same sample with more days or symbols",
        found=found,
        next_step="name another directory, or delete this one; nothing was changed",
    )
