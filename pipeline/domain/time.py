"""Units of time in microseconds since the epoch, and times as UTC texts."""

from __future__ import annotations

from datetime import UTC, date, datetime

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


def epoch_us(day: date) -> int:
    """Microseconds from the epoch to midnight UTC of `day`."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int(midnight.timestamp()) * 1_000_000


def to_stamp(now: datetime) -> str:
    """A UTC time as the state file writes it."""
    return now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_stamp(text: str) -> datetime:
    """Read `to_stamp` back."""
    return datetime.fromisoformat(text)


def utc_text(moment: datetime) -> str:
    """A moment as the ledger writes it: ISO 8601, UTC, a trailing Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
