"""A mapping of a YAML file that knows its place in the file and reads its values strictly."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from alphaqcm.data_collection.errors import UsageError

SECRETS: Final = frozenset({"api_key", "secret_key"})
"""Keys whose values are never told."""

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class ConfigMap:
    """A mapping of the file, which knows where in it it stands."""

    def __init__(self, name: str, place: str, content: object) -> None:
        self.name, self.place = name, place
        if not isinstance(content, Mapping):
            raise UsageError(
                f"{name}: {place or 'the file'}", expected="keys and values", found=shown(content)
            )
        self.content: Mapping[Any, Any] = content

    def wrong(self, key: str, expected: str, found: object = None) -> UsageError:
        """The error of a key's value; of a secret the value is not told."""
        value = self.content.get(key) if found is None else found
        told = "a value" if key in SECRETS else shown(value)
        return UsageError(f"{self.name}: {self._path(key)}", expected=expected, found=told)

    def require_known(self, *known: str) -> None:
        """Raise `UsageError` for the first key that is none of these, with the nearest one."""
        for key in self.content:
            if key in known:
                continue
            near = difflib.get_close_matches(f"{key}", known, 1)
            raise UsageError(
                f"{self.name}: {self._path(shown(key))}",
                expected="one of " + ", ".join(known),
                found="a key that is not known",
                next_step=f"did you mean {near[0]}?" if near else "take it out",
            )

    def map(self, key: str) -> ConfigMap:
        """A mapping below this one; an empty one where there is none."""
        content = self.content.get(key)
        return ConfigMap(self.name, self._path(key), {} if content is None else content)

    def list(self, key: str) -> Sequence[object]:
        """A list of anything."""
        value = self.content.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value

    def text(self, key: str, default: str) -> str:
        """A text; numbers are taken as theirs."""
        value = self.content.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(key, "a text")
        return f"{value}".strip()

    def texts(self, key: str) -> Sequence[str]:
        """A list of texts, or one with commas between them."""
        value = self.content.get(key)
        if value is None:
            return []
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list) or not all(isinstance(one, str | int) for one in parts):
            raise self.wrong(key, "a list of texts")
        return [f"{one}".strip() for one in parts if f"{one}".strip()]

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        """One of some words."""
        value = self.text(key, default).lower()
        if value not in choices:
            raise self.wrong(key, "one of " + ", ".join(choices))
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.content.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number, also as a text (MarketStore's ports are)."""
        value = self.content.get(key, default)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def seconds(self, key: str, default: float) -> float:
        """A length of time: seconds, or a text such as 100ms, 5s or 1m."""
        value = self.content.get(key, default)
        if isinstance(value, str):
            match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)", value.strip())
            unit = _UNITS.get((match[2] or "s").lower()) if match else None
            value = float(match[1]) * unit if match and unit else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise self.wrong(key, "a length of time, such as 500ms, 5s or 1m")
        return float(value)

    def moment(self, key: str) -> int | None:
        """A date or instant in milliseconds, None for none, an empty text and `now`."""
        value = self.content.get(key)
        if isinstance(value, str) and value.strip().lower() in ("", "now"):
            return None
        if value is None:
            return None
        try:
            if isinstance(value, str):
                value = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", value.strip()))
            if isinstance(value, date) and not isinstance(value, datetime):
                value = datetime(value.year, value.month, value.day, tzinfo=UTC)
            if not isinstance(value, datetime):
                raise ValueError("no instant")
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return round(moment.timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            raise self.wrong(key, "a date or an instant (UTC), such as 2024-01-01") from error

    def _path(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def shown(value: object) -> str:
    """A value in a message: cut where it is long, quoted where it cannot be printed."""
    text = f"{value}"
    return text[:80] if text.isprintable() else repr(text)[:80]
