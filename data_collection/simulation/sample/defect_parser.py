"""Traps as words of the command line: `missing-day symbol=ETHUSDT type=klines day=2024-02-28`."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from datetime import UTC, date, datetime
from typing import Any, get_args, get_type_hints

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.simulation.sample.defects import Trap, Where

TRAPS: dict[str, type[Trap]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower(): kind for kind in get_args(Trap)
}
"""Every trap by its name on the command line."""


def parse_trap(text: str) -> Trap:
    """Read one trap; raises `UsageError`."""
    name, *words = text.split() or [""]
    kind = TRAPS.get(name)
    if kind is None:
        raise _bad(text, "one of " + ", ".join(sorted(TRAPS)), name)
    given = dict(word.partition("=")[::2] for word in words)
    try:
        trap: Trap = _build(kind, given)
    except (ValueError, TypeError, KeyError) as error:
        raise _bad(text, f"{name} {usage(kind)}", str(error)) from error
    if given:
        raise _bad(text, f"{name} {usage(kind)}", "unknown " + ", ".join(given))
    return trap


def usage(kind: type[Any]) -> str:
    """The words that a trap takes, optional ones in brackets."""
    hints, words = get_type_hints(kind), []
    for field in fields(kind):
        if hints[field.name] is Where:
            words.append(usage(Where))
        elif field.default is MISSING:
            words.append(f"{field.name}=")
        else:
            words.append(f"[{field.name}=]")
    return " ".join(words)


def _build(kind: type[Any], given: dict[str, str]) -> Any:
    """An instance of a trap or of `Where`; takes its words out of `given`."""
    hints, values = get_type_hints(kind), {}
    for field in fields(kind):
        hint = hints[field.name]
        if hint is Where:
            values[field.name] = _build(Where, given)
        elif field.name in given:
            values[field.name] = _value(hint, given.pop(field.name))
    return kind(**values)


def _value(hint: Any, text: str) -> Any:
    if hint is datetime:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if hint is bool:
        return {"yes": True, "no": False}[text]
    if hint in (int, float, str):
        return hint(text)
    choices = [choice for choice in get_args(hint) if choice is not type(None)]
    if choices and choices[0] is str:
        return tuple(text.split(","))
    kind = choices[0] if choices else hint
    return date.fromisoformat(text) if kind is date else kind(text)


def _bad(text: str, expected: str, found: str) -> UsageError:
    return UsageError(
        f"--plant {text!r}",
        expected=expected,
        found=found,
        next_step="`alphaqcm sample --help` lists the traps and their words",
    )
