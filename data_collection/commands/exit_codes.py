"""The exit codes of every command and script."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code says; `MEANING` has the words that the help prints."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CORRUPT_SOURCE = 3
    LIMITED = 75
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANING = {
    ExitCode.DONE: "done; files absent at the source, missing rows and gaps are told, not failures",
    ExitCode.FAILED: "something failed, or problems were found; what was there is still there",
    ExitCode.USAGE: "the command's words or settings do not fit; nothing was done",
    ExitCode.CORRUPT_SOURCE: "the table (or a worker's layers) is written, without archive "
    "files that are corrupt at the source and that --accept-corrupt does not name",
    ExitCode.LIMITED: "stopped by the exchange's limits; the same command goes on later",
    ExitCode.HANGUP: "stopped by a closed terminal (SIGHUP)",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C (SIGINT)",
    ExitCode.TERMINATED: "stopped by SIGTERM",
}
