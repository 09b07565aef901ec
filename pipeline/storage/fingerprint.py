"""What a layer's file is made of, as a value: equal fingerprints mean equal content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, order=True)
class Input:
    """One thing a file was made from: an archive key or a layer's file, and its SHA-256."""

    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a layer's file is made of; equal fingerprints mean equal bytes, times aside."""

    layer: str
    version: int
    inputs: tuple[Input, ...]
    parameters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Keep parameters in one order: files carry them sorted."""
        object.__setattr__(self, "parameters", tuple(sorted(self.parameters)))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that files carry."""
        return {
            "layer": self.layer,
            "version": self.version,
            "inputs": [[item.key, item.sha256] for item in self.inputs],
            "parameters": dict(self.parameters),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fingerprint:
        """Read the JSON form."""
        return cls(
            layer=str(data["layer"]),
            version=int(data["version"]),
            inputs=tuple(Input(str(key), str(sha)) for key, sha in data["inputs"]),
            parameters=tuple((str(k), str(v)) for k, v in data.get("parameters", {}).items()),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the fingerprint: names the content of the file that carries it."""
        return hashlib.sha256(orjson.dumps(self.to_dict(), option=orjson.OPT_SORT_KEYS)).hexdigest()
