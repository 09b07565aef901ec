"""What a month file's footer tells of how it was read, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alphaqcm.pipeline.reading.aggtrades import Counters


@dataclass(frozen=True, slots=True)
class FileCount:
    """Rows of one archive file, and how many of them lie outside its own period."""

    rows: int
    outside: int


@dataclass(frozen=True, slots=True)
class MonthReport:
    """What was met while a month's archive files were read.

    None where it does not apply: aggTrades have `counters` only; funding and metrics rows are kept
    as they are, so that nothing of them is unusable, doubled or out of order. Days are ISO dates.
    """

    rows: int = 0  # of the month file
    read: int = 0  # of the archive files
    missing_days: tuple[str, ...] = ()  # that the monthly file lacks
    empty_days: tuple[str, ...] = ()  # that no file has a row of
    unreadable: tuple[tuple[str, str], ...] = ()  # (key, SHA-256)
    problems: tuple[str, ...] = ()  # what is wrong with files that cannot be used
    files: Mapping[str, FileCount] | None = None  # by key
    unusable: int | None = None  # rows without a finite price or volume
    duplicates: int | None = None  # rows beyond the first of their time
    unsorted: bool | None = None
    counters: Counters | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that a footer carries."""
        told: dict[str, Any] = {
            "rows": self.rows,
            "read": self.read,
            "missing_days": self.missing_days,
            "empty_days": self.empty_days,
            "unreadable": self.unreadable,
            "problems": self.problems,
        }
        if self.files is not None:
            told["files"] = {
                key: {"rows": count.rows, "outside": count.outside}
                for key, count in self.files.items()
            }
        for name in ("unusable", "duplicates", "unsorted"):
            if (value := getattr(self, name)) is not None:
                told[name] = value
        if self.counters is not None:
            told["counters"] = self.counters.to_dict()
        return told

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> MonthReport:
        """Read the JSON form; what is not told is at its default. Raises KeyError, TypeError."""
        files, counters = told.get("files"), told.get("counters")
        return cls(
            rows=int(told.get("rows", 0)),
            read=int(told.get("read", 0)),
            missing_days=tuple(told.get("missing_days", ())),
            empty_days=tuple(told.get("empty_days", ())),
            unreadable=tuple((str(key), str(sha)) for key, sha in told.get("unreadable", ())),
            problems=tuple(told.get("problems", ())),
            files=None
            if files is None
            else {key: FileCount(one["rows"], one["outside"]) for key, one in files.items()},
            unusable=told.get("unusable"),
            duplicates=told.get("duplicates"),
            unsorted=told.get("unsorted"),
            counters=None if counters is None else Counters(**counters),
        )
