"""What goes over the sockets beside events: sequences, requests and their answers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from alphaqcm.data_collection.errors import BadMessage

SEQUENCE: Final = struct.Struct(">Q")
SNAPSHOT, HEADS = "snapshot", "heads"


class Request(msgspec.Struct):
    """`what` is `SNAPSHOT` of a topic from `first` on, or `HEADS` of all topics that begin so."""

    what: str
    topic: str
    first: int = 0


class Answer(msgspec.Struct):
    """What was asked for, or why not."""

    error: str = ""
    kept_from: int = 0  # the earliest sequence that could be given
    messages: list[tuple[int, bytes]] = msgspec.field(default_factory=list)
    heads: dict[str, int] = msgspec.field(default_factory=dict)


def snapshot_address(pub: str) -> str:
    """Where a publisher answers: beside an ipc file, on the next tcp port."""
    head, colon, port = pub.rpartition(":")
    if pub.startswith("tcp://") and colon and port.isdigit():
        return f"{head}:{int(port) + 1}"
    return f"{pub}.snapshot"


def unpack(frames: Sequence[bytes]) -> tuple[str, int, bytes]:
    """Topic, sequence and payload of a message; raises `BadMessage`."""
    if len(frames) != 3 or len(frames[1]) != SEQUENCE.size:
        raise BadMessage(
            "a message",
            expected="three frames: topic, eight bytes of sequence, msgpack",
            found=f"{len(frames)} frames",
        )
    return frames[0].decode(), SEQUENCE.unpack(frames[1])[0], frames[2]
