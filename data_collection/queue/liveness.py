"""Who is alive: one OS lock a worker for its whole life, and a heartbeat beside it.

`{lock_dir}/{id}.lock` is locked by the worker's process: the kernel lets go of it the moment the
process ends, however it ends, and no clock is asked. So on one host a death is seen at once. Across
hosts a lock may not be seen, and a worker that is stopped or hangs keeps its own: there the
heartbeat decides. `{lock_dir}/{id}.json` carries a counter, and a worker is given up when its
counter stood still for `stale` seconds *on the watcher's own monotonic clock*; wall clocks that are
wrong or jump change nothing.

A worker that only slept through all this is kept from committing by its fencing token
(`transitions`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import orjson

from alphaqcm.data_collection.errors import QueueError, UsageError
from alphaqcm.data_collection.queue.json_types import check_fields, check_moment
from alphaqcm.pipeline.domain.time import to_stamp
from alphaqcm.pipeline.errors import layer_error

BEAT_EVERY = 5.0
"""Seconds between two heartbeats."""

STALE_AFTER = 360.0
"""Seconds without a heartbeat after which a worker is given up that cannot be seen to be dead."""

_LOCK_PATIENCE = 2.0  # seconds: who looks whether a lock is held holds it for an instant
_MACHINE_ID = Path("/etc/machine-id")
_WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


def this_host() -> str:
    """This machine's name, with the start of its machine id where it has one."""
    name = socket.gethostname() or "localhost"
    with contextlib.suppress(OSError):
        name += "-" + _MACHINE_ID.read_text(encoding="ascii", errors="replace").strip()[:6]
    return name.rstrip("-")


def _nothing() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker's sign of life."""

    worker: str
    host: str
    pid: int
    started: str  # UTC
    written: str = ""  # UTC
    beats: int = 0
    task: str = ""
    task_seconds: float = 0.0  # by the worker's monotonic clock
    task_bytes: int = 0  # that have come from the source for the task
    ended: str = ""  # why it ended; empty while it lives


def read_heartbeats(lock_dir: Path) -> list[Heartbeat]:
    """The last sign of life of every worker, by name."""
    beats = (read_heartbeat(path) for path in sorted(lock_dir.glob("*.json")))
    return [beat for beat in beats if beat is not None]


def read_heartbeat(path: Path) -> Heartbeat | None:
    """One worker's sign of life; None where there is none that can be read."""
    try:
        beat = Heartbeat(**check_fields(Heartbeat, orjson.loads(path.read_bytes())))
        for stamp in (beat.started, beat.written):
            check_moment(stamp)
    except (OSError, ValueError, TypeError):
        return None
    # a name is a path's part as well: only the file's own
    return beat if beat.worker == path.stem and _WORKER_ID.fullmatch(beat.worker) else None


def heartbeat_file_age(lock_dir: Path, worker: str) -> float:
    """Seconds since a worker's heartbeat file was written, by the clocks of disk and machine."""
    try:
        return max(0.0, time.time() - (lock_dir / f"{worker}.json").stat().st_mtime)
    except OSError:
        return float("inf")


def holds_lock(lock_dir: Path, worker: str) -> bool:
    """Whether a process on this host (or one whose locks are seen here) is this worker."""
    try:
        with (lock_dir / f"{worker}.lock").open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class LivenessChecker:
    """Tells dead workers from living ones, from one process's point of view."""

    def __init__(self, lock_dir: Path, host: str, stale: float = STALE_AFTER) -> None:
        self.lock_dir = lock_dir
        self.host = host
        self.stale = stale
        self._seen: dict[tuple[str, str], tuple[tuple[int, int], float]] = {}

    def is_dead(self, worker: str, host: str) -> bool:
        """Whether this worker of this host can be given up."""
        if host == self.host and not holds_lock(self.lock_dir, worker):
            return True
        return self.heartbeat_age(worker, host) > self.stale

    def looks_alive(self, beat: Heartbeat) -> bool:
        """Whether a worker seems to live, for people: across hosts by the heartbeat file's age."""
        if beat.ended:
            return False
        if beat.host == self.host:
            return holds_lock(self.lock_dir, beat.worker)
        return heartbeat_file_age(self.lock_dir, beat.worker) < self.stale

    def heartbeat_age(self, worker: str, host: str) -> float:
        """Seconds since this process last saw the worker's heartbeat move."""
        beat = read_heartbeat(self.lock_dir / f"{worker}.json")
        pulse = (beat.pid, beat.beats) if beat and beat.host == host else (0, 0)
        now = time.monotonic()
        last, since = self._seen.get((worker, host), (None, now))
        if pulse != last:
            since = now
        self._seen[worker, host] = (pulse, since)
        return now - since


class WorkerLife:
    """A worker's OS lock and heartbeat, held while the block runs.

    `brought` tells how many bytes have come from the source so far, `every` is in seconds.
    Raises `UsageError` for a name that cannot be one and `QueueError` where another process has it.
    """

    def __init__(
        self,
        lock_dir: Path,
        worker: str,
        host: str,
        every: float = BEAT_EVERY,
        brought: Callable[[], int] = _nothing,
    ) -> None:
        if not _WORKER_ID.fullmatch(worker):
            raise UsageError(
                f"worker id {worker!r}",
                expected="letters, digits, '.', '_' or '-', 32 at most",
            )
        self.worker = worker
        self.host = host
        self._path = lock_dir / f"{worker}.json"
        self._lock_path = lock_dir / f"{worker}.lock"
        self._every = every
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._busy_since = 0.0
        self._brought, self._brought_before = brought, 0
        self._descriptor = -1
        self._beat = Heartbeat(worker, host, os.getpid(), to_stamp(datetime.now(UTC)))

    def __enter__(self) -> Self:
        self._descriptor = self._take()
        self._tell()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if not self._beat.ended:
            self.ending("error")
        self._tell()
        os.close(self._descriptor)

    @contextlib.contextmanager
    def busy(self, task: str) -> Iterator[None]:
        """Tell that the worker is at `task` while the block runs."""
        self._at(task)
        self._tell()
        try:
            yield
        finally:
            self._at("")  # told with the next task or beat

    def ending(self, why: str) -> None:
        """Say why the worker ends: the last thing its heartbeat file tells."""
        with self._guard:
            self._beat = replace(self._beat, ended=why)

    def _at(self, task: str) -> None:
        with self._guard:
            self._busy_since = time.monotonic()
            self._brought_before = self._brought()
            self._beat = replace(self._beat, task=task)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._tell()

    def _tell(self) -> None:
        with self._guard, contextlib.suppress(OSError):  # a full disk must not end the worker here
            busy = time.monotonic() - self._busy_since if self._beat.task else 0.0
            self._beat = replace(
                self._beat,
                written=to_stamp(datetime.now(UTC)),
                beats=self._beat.beats + 1,
                task_seconds=round(busy, 3),
                task_bytes=self._brought() - self._brought_before if self._beat.task else 0,
            )
            temp = self._path.with_name(f".{self._path.name}.next")
            temp.write_bytes(orjson.dumps(asdict(self._beat)))
            temp.replace(self._path)

    def _take(self) -> int:
        give_up = time.monotonic() + _LOCK_PATIENCE
        while True:
            try:
                self._lock_path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise layer_error(self._lock_path, error) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:  # else removed meanwhile: it guards no name
                    return descriptor
            except BlockingIOError:
                if time.monotonic() > give_up:
                    os.close(descriptor)
                    raise self._taken() from None
            os.close(descriptor)
            time.sleep(0.02)

    def _taken(self) -> QueueError:
        beat = read_heartbeat(self._path)
        return QueueError(
            f"worker {self.worker}",
            expected="a name that no other worker has",
            found=f"process {beat.pid} on {beat.host}" if beat else "another process",
            next_step="choose another --worker-id, or stop that worker",
        )
