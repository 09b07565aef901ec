"""Event log of workers and commands: one line an event, by the standard library's logging.

A line is `time worker=… event=… key=value …`, or a JSON object with the same keys. Events go to
standard output through the logger `alphaqcm.events`; ALPHAQCM_LOG_LEVEL and ALPHAQCM_LOG_JSON say
which and how (--log-level and --log-json set them, also for processes that are started).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
from datetime import UTC, datetime

import orjson

from alphaqcm.data_collection.process.terminal_text import printable
from alphaqcm.pipeline.domain.time import to_stamp

LOGGER = logging.getLogger("alphaqcm.events")
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_WARNINGS = frozenset({"refused", "problem", "still-failed"})
_ERRORS = frozenset({"failed", "stop"})


def is_quiet() -> bool:
    """Whether this process, or the command that started it, was asked to tell errors only."""
    return os.environ.get("ALPHAQCM_QUIET", "").lower() in ("1", "true", "yes")


class _Lines(logging.Handler):
    """Writes each record to the standard output of the moment, and flushes it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a log that cannot be written must not end the work."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(self.format(record).replace("\n", " ") + "\n")
            sys.stdout.flush()


class _KeyValue(logging.Formatter):
    """`key=value` pairs; values with blanks are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        stamp, *parts = _fields(record).items()
        return " ".join([stamp[1], *(f"{key}={shlex.quote(text)}" for key, text in parts)])


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        return orjson.dumps({"level": record.levelname.lower(), **fields}).decode()


def _fields(record: logging.LogRecord) -> dict[str, str]:
    stamp = to_stamp(datetime.fromtimestamp(record.created, UTC))
    worker, told = getattr(record, "worker", ""), getattr(record, "fields", {})
    shown = {key: printable(text) for key, text in told.items()}
    return {"time": stamp, "worker": worker, "event": record.getMessage(), **shown}


def _set_up() -> None:
    """One handler, as the environment says; a program of others that set one up keeps its own."""
    LOGGER.setLevel(LEVELS.get(os.environ.get("ALPHAQCM_LOG_LEVEL", "").lower(), logging.INFO))
    ours = [handler for handler in LOGGER.handlers if isinstance(handler, _Lines)]
    if not ours:
        ours = [_Lines()]
        LOGGER.addHandler(ours[0])
    as_json = os.environ.get("ALPHAQCM_LOG_JSON", "").lower() in ("1", "true", "yes")
    ours[0].setFormatter(_Json() if as_json else _KeyValue())


class Log:
    """The events of one worker."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        _set_up()

    def event(self, name: str, **fields: object) -> None:
        """Log one event; fields without a value are left out."""
        level = logging.INFO
        if name in _WARNINGS or name in _ERRORS:
            level = logging.ERROR if name in _ERRORS else logging.WARNING
        texts = {key: str(value) for key, value in fields.items() if value != ""}
        LOGGER.log(level, name, extra={"worker": self._worker, "fields": texts})

    def say(self, text: str) -> None:
        """Something worth knowing that is no event of a task."""
        self.event("note", text=text)
