"""The faults a mirror can have: rules from a YAML file, decided by a seed and not by chance.

Whether a rule strikes a key depends on the seed, the rule and the key; how often, on how many
requests that key has had. So the same file and the same tree give the same faults to any number
of clients in any order (bursts count all requests of the mirror, whatever their order).
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from alphaqcm.data_collection.errors import UsageError


class FaultKind(StrEnum):
    """What happens to a request."""

    STATUS = "status"  # answer `status`, with `retry_after` seconds where given
    RESET = "reset"  # TCP reset after `after` bytes of the body
    STALL = "stall"  # `after` bytes of the body, then nothing for `seconds`, then the end
    CUT = "cut"  # the full length is declared, the connection ends after `after` bytes
    SHORT = "short"  # the declared length is honest, the last `after` bytes are left out
    LONG = "long"  # the declared length is honest, `after` bytes too many
    WRONG = "wrong"  # right length, wrong bytes
    DRIP = "drip"  # the right body at `rate` bytes a second
    REDIRECT = "redirect"  # 302 to another address that serves the file
    LOST = "lost"  # the connection ends without an answer


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule: what happens to which requests.

    A rule is for file requests, or for listing requests when `on` is "listing" (matched by their
    prefix). `chance` picks that share of the keys; a picked key's first `times` requests are
    struck (0: all of them). With `every` and `length`, the first `length` of each `every` requests
    to the mirror are struck instead: a burst.
    """

    kind: FaultKind
    match: str = "*"
    on: str = "file"
    chance: float = 1.0
    times: int = 1
    every: int = 0
    length: int = 0
    status: int = 503
    retry_after: float | None = None
    after: int = 0
    seconds: float = 60.0
    rate: int = 1000


class _Loader(yaml.SafeLoader):
    """YAML without truth values: it would read the rules' own word `on` as one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, words) for tag, words in found if tag != "tag:yaml.org,2002:bool"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All rules of a mirror, and the round trip in milliseconds added to connects and requests."""

    rules: tuple[Fault, ...] = ()
    seed: int = 0
    latency_ms: float = 0.0

    @classmethod
    def load(cls, path: Path) -> FaultPlan:
        """Read a YAML file with `seed`, `latency_ms` and a list `faults`; raises `UsageError`."""
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}  # noqa: S506
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError(path, expected="a readable YAML file", found=str(error)) from error
        known = {"seed", "latency_ms", "faults"}
        if not isinstance(data, Mapping) or set(data) - known:
            raise _bad_rules(path, f"a mapping of {', '.join(sorted(known))}", repr(data))
        rules, seed = data.get("faults") or [], data.get("seed", 0)
        latency = data.get("latency_ms", 0.0)
        if not isinstance(rules, list):
            raise _bad_rules(path, "a list `faults`", rules)
        if not isinstance(seed, int) or not isinstance(latency, int | float):
            raise _bad_rules(path, "numbers as `seed` and `latency_ms`", f"{seed!r}, {latency!r}")
        return cls(tuple(_rule(path, item) for item in rules), seed, float(latency))


def _rule(path: Path, item: Any) -> Fault:
    names = {field.name for field in fields(Fault)}
    if not isinstance(item, Mapping) or "kind" not in item or set(item) - names:
        raise _bad_rules(path, f"a rule with `kind` and any of {', '.join(sorted(names))}", item)
    try:
        fault = Fault(**{**item, "kind": FaultKind(item["kind"])})
    except ValueError:
        raise _bad_rules(path, "a kind of " + ", ".join(FaultKind), item["kind"]) from None
    if fault.on not in ("file", "listing"):
        raise _bad_rules(path, "`on: file` or `on: listing`", fault.on)
    for name in set(item) - {"kind", "match", "on"}:
        if not isinstance(item[name], int | float) or item[name] < 0:
            raise _bad_rules(path, f"a number as `{name}`", repr(item[name]))
    return fault


def _bad_rules(path: Path, expected: str, found: object) -> UsageError:
    return UsageError(path, expected=expected, found=str(found), next_step="alphaqcm docs download")


class Forecast:
    """Decides for each request which rule strikes it. Safe for many threads."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._struck: Counter[tuple[int, str]] = Counter()
        self._requests = 0

    def next(self, on: str, name: str, target: str) -> Fault | None:
        """The fault of a request for `name` (key or prefix); `target` tells pages of it apart."""
        with self._lock:
            number = self._requests
            self._requests += 1
            for index, rule in enumerate(self._plan.rules):
                if rule.on != on or not fnmatchcase(name, rule.match):
                    continue
                if rule.every:
                    if number % rule.every < rule.length:
                        return rule
                    continue
                if not self._picked(index, rule, name):
                    continue
                if rule.times and self._struck[index, target] >= rule.times:
                    continue
                self._struck[index, target] += 1
                return rule
        return None

    def _picked(self, index: int, rule: Fault, name: str) -> bool:
        if rule.chance >= 1.0:
            return True
        seed = f"{self._plan.seed}/{index}/{name}"
        return random.Random(seed).random() < rule.chance  # noqa: S311
