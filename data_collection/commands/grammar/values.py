"""Reads the values of options from text: days, sizes, numbers, addresses, names.

Each function takes the text of a command's word, an environment variable or a line of a
configuration file, and raises `ValueError` whose text says what is expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

EARLIEST = date(2009, 1, 1)
"""No market that the archive knows is older."""

RELATIVE_DAY = re.compile(r"-(\d{1,5})d")
DAY_TEXT = "a day as YYYY-MM-DD, yesterday, today, or -30d for thirty days ago (UTC)"
DATA_SUFFIXES = (".parquet", ".zip", ".csv", ".sqlite")
"""Ends of names that no answer of a command is written to."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([KMGT]?)B?", re.ASCII)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_WORKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MOST_HOURS = 8760
_HOST_LIMIT = 253  # characters of a name, and 63 of each of its parts (RFC 1035)


def day(text: str) -> date:
    """A UTC day: YYYY-MM-DD, `yesterday`, `today`, `-30d`."""
    told = text.strip()
    today = datetime.now(UTC).date()
    if told in ("today", "yesterday"):
        return today - timedelta(days=told == "yesterday")
    relative = RELATIVE_DAY.fullmatch(told)
    try:
        if relative:
            found = today - timedelta(days=int(relative[1]))
        elif _DAY.fullmatch(told) and told.isascii():
            found = date.fromisoformat(told)
        else:
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(DAY_TEXT) from None
    if found < EARLIEST:
        raise ValueError(f"a day from {EARLIEST} on")
    return found


def instant(text: str) -> datetime:
    """A moment: an ISO instant, in UTC where no zone is said, or a day's first."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("an instant such as 2026-05-20T12:00 or a day, in UTC") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found.date() < EARLIEST:
        raise ValueError(f"an instant from {EARLIEST} on")
    return found


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        told = text.strip()
        if not re.fullmatch(r"-?\d{1,20}", told, re.ASCII) or not least <= int(told) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(told)

    return parse


def real(least: float, most: float, *, open_below: bool = False) -> Callable[[str], float]:
    """Reads a finite number from `least` (itself not, where `open_below`) to `most`."""
    words = f"a number {'above' if open_below else 'from'} {least:g}, up to {most:g}"

    def parse(text: str) -> float:
        try:
            number = float(text) if text.isascii() else math.nan
        except ValueError:
            number = math.nan
        if not least <= number <= most or (open_below and number == least):
            raise ValueError(words)
        return number

    return parse


def size(text: str) -> int:
    """A number of bytes: `500000`, `20M`, `1.5G`."""
    match = _SIZE.fullmatch(text.strip().upper())
    number = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if not 1 <= number <= 10**18:
        raise ValueError("a number of bytes such as 500000, 20M or 1.5G")
    return number


def name(text: str) -> str:
    """A part of a file's name: letters, digits, `_`, `.`, `-`."""
    if not _NAME.fullmatch(text):
        raise ValueError("a name of letters, digits, _, . and -, 64 at most")
    return text


def worker_name(text: str) -> str:
    """The name of a worker, of which its lock and heartbeat are files."""
    if not _WORKER.fullmatch(text):
        raise ValueError("a name of letters, digits, ., _ and -, 32 at most")
    return text


def sample_symbols(text: str) -> int | tuple[str, ...]:
    """How many symbols, or their names as the exchange writes them."""
    if re.fullmatch(r"\d{1,20}", text, re.ASCII):
        return whole(1, 10_000)(text)
    found = words(text)
    if not all(re.fullmatch(r"[A-Za-z0-9]\w{0,39}", name) for name in found):
        raise ValueError("a number from 1 to 10000, or names as the exchange writes them")
    return found


def source(text: str) -> str:
    """An http(s) address, or a directory."""
    return address(text) if "://" in text else str(path(text))


def address(text: str) -> str:
    """An http(s) address whose host and port can be."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
        known = parts.scheme in ("http", "https") and 0 < len(host) <= _HOST_LIMIT
        known = known and all(len(label) <= 63 for label in host.split("."))
    except ValueError:
        known = False
    if not known or any(ord(letter) <= 32 or ord(letter) == 127 for letter in text):
        raise ValueError("an http(s) address such as https://data.binance.vision, or a directory")
    return text


def path(text: str) -> Path:
    """A path of the file system."""
    if not text or "\0" in text:
        raise ValueError("a path")
    if any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in Path(text).parts):
        raise ValueError("a path whose names have 255 bytes at most")
    return Path(text)


class StoreUrl(str):
    """The URL of a data root in an object store."""

    __slots__ = ()


def data_root(text: str) -> Path | StoreUrl:
    """A folder, or a URL of an object store."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        return path(text)
    if scheme not in ("s3", "gs", "az") or not rest.strip("/") or "\0" in text:
        raise ValueError("a folder, or s3://bucket/prefix, gs://… or az://…")
    return StoreUrl(text)


def answer(text: str) -> str:
    """Where an answer goes: `-`, or a file that can be there and is no data."""
    if text == "-":
        return text
    target = path(text)
    if target.is_dir() or not target.parent.is_dir() or text.endswith(DATA_SUFFIXES):
        raise ValueError("-, or a file to write in a folder that is there, with no name of data")
    return text


def words(text: str) -> tuple[str, ...]:
    """Words with commas between, at least one."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise ValueError("at least one name; several with commas between")
    return found


def hours(text: str) -> tuple[int, ...]:
    """Numbers of hours, `1h,4h,24h`, each once, the shortest first; up to a year."""
    found = [re.fullmatch(r"([1-9]\d{0,3})h", word.strip(), re.ASCII) for word in text.split(",")]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) != len(found) or max(numbers) > _MOST_HOURS:
        raise ValueError(f"hours such as 1h,4h,24h, up to {_MOST_HOURS}h")
    return tuple(sorted(set(numbers)))


def yes_or_no(text: str) -> bool:
    """A switch of a variable or a file."""
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.strip().lower() not in known:
        raise ValueError("true or false")
    return known[text.strip().lower()]
