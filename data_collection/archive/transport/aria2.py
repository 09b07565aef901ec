"""aria2 as a transport: an aria2c of our own, told what to bring through aria2p, in batches.

aria2c listens on a loopback port with a secret, for as long as the transport is open, and dies
with this process. It makes one attempt at a time: retries, proof and renames are done by the same
code as for HTTP. Small texts (.CHECKSUM) and the listing come over HTTP with requests.
"""

from __future__ import annotations

import re
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import requests

from alphaqcm.data_collection.archive.sources import HttpSource
from alphaqcm.data_collection.archive.transport.aria2_process import Aria2Process
from alphaqcm.data_collection.archive.transport.error_causes import causes
from alphaqcm.data_collection.archive.transport.http import HttpDownloader
from alphaqcm.data_collection.archive.transport.protocol import PartFile, Wanted
from alphaqcm.data_collection.archive.transport.retry_policy import RetryPolicy, Stopped
from alphaqcm.data_collection.errors import ErrorKind, Refused, TransientError
from alphaqcm.pipeline.errors import DiskFull, LayerError

_TICK = 0.01  # seconds between two looks at what is running
_STATUS_KEYS = ["status", "errorCode", "errorMessage", "totalLength", "completedLength"]
_STOP_POLL = 0.2  # seconds
_NOT_FOUND, _TIMEOUT, _TOO_SLOW, _NO_RESUME, _DISK_FULL = "3", "2", "5", "8", "9"
_FILE_ERRORS = ("15", "16", "17", "18")
_NAME, _REDIRECTS = "19", "23"
_TOO_LONG = "too long"  # our own word, where we ended the download
_HTTP_STATUS = re.compile(r"status=(\d{3})")


@dataclass(frozen=True, slots=True)
class _Job:
    url: str
    part: Path
    size: int  # bytes listed
    done: Future[dict[str, str]]


class Aria2Downloader:
    """Brings bodies with aria2c; raises `UsageError` where aria2c is not installed."""

    def __init__(self, source: HttpSource, retry_policy: RetryPolicy, http: HttpDownloader) -> None:
        Aria2Process.find()
        self._source = source
        self._retry = retry_policy
        self._http = http
        self._pump: _Pump | None = None
        self._lock = threading.Lock()

    def text(self, key: str) -> str | None:
        """See `Downloader`."""
        return self._http.text(key)

    def body(self, wanted: Wanted, part: PartFile) -> bool:
        """See `Downloader`."""
        job = _Job(self._source.url(wanted.key), part.path, wanted.size, Future())
        _control_file(part.path).unlink(missing_ok=True)
        pump = self._running_pump()
        pump.put(job)
        outcome = self._wait(pump, job)
        _control_file(part.path).unlink(missing_ok=True)
        if self._retry.stop.is_set():
            raise Stopped
        if outcome["status"] == "complete":
            return True
        return self._failed(wanted, part, outcome)

    def _wait(self, pump: _Pump, job: _Job) -> dict[str, str]:
        """aria2's last word on a job; returns only when nobody writes the part any more."""
        while True:
            try:
                return job.done.result(_STOP_POLL)
            except StillRunning:
                if self._retry.stop.is_set():
                    pump.stop()
                    pump.join()
                if not pump.is_alive() and not job.done.done():
                    # it came too late for a pump that was ending
                    return {"status": "error", "errorMessage": "aria2c has ended"}

    def close(self) -> None:
        """See `Downloader`."""
        with self._lock:
            if self._pump is not None:
                self._pump.stop()
                self._pump.join()
        self._http.close()

    def _running_pump(self) -> _Pump:
        with self._lock:
            if self._pump is None or not self._pump.is_alive():
                self._pump = _Pump(self._retry, self._http.stall)
                self._pump.start()
            return self._pump

    def _failed(self, wanted: Wanted, part: PartFile, outcome: dict[str, str]) -> bool:
        """False for a 404; raises what the outcome means otherwise."""
        code, found = outcome.get("errorCode", ""), outcome.get("errorMessage", "")
        url = self._source.url(wanted.key)
        if code == _NOT_FOUND:
            return False
        if code == _TOO_LONG:
            part.clear()
            raise TransientError(ErrorKind.LENGTH, url, found)
        status = _HTTP_STATUS.search(found)
        if status is not None or code in ("22", "24", "29"):
            # aria2 keeps Retry-After to itself: ask once more to learn how long to stay away
            raise self._http.explain(url) or _status_trouble(url, status, found)
        if code in (_TIMEOUT, _TOO_SLOW):
            raise TransientError(ErrorKind.STALL, url, found)
        if code == _NAME:
            raise TransientError(ErrorKind.NAME, url, found)
        if code == _NO_RESUME:
            part.clear()
            raise TransientError(ErrorKind.RANGE, url, found)
        if code == _DISK_FULL or "No space left" in found or "quota" in found:
            raise DiskFull(
                part.path,
                expected="free space to write it",
                found=found,
                next_step="free some space and run the same command again; nothing was lost",
            )
        if code in _FILE_ERRORS:
            raise LayerError(part.path, expected="a file that aria2c can write", found=found)
        if code == _REDIRECTS:
            raise Refused(url, expected="the file itself", found=found, next_step="check --source")
        kind = ErrorKind.SHORT if "EOF" in found else ErrorKind.CONNECTION
        raise TransientError(kind, url, f"aria2 error {code}: {found}")


def _status_trouble(url: str, status: re.Match[str] | None, found: str) -> TransientError:
    throttled = status is not None and status[1] in ("403", "418", "429")
    return TransientError(ErrorKind.THROTTLED if throttled else ErrorKind.SERVER, url, found)


def _control_file(part: Path) -> Path:
    """aria2's own note beside a part: not needed, one connection writes from front to back."""
    return part.with_name(part.name + ".aria2")


class _Pump(threading.Thread):
    """Owns aria2c and talks to it: adds new jobs and looks at running ones, one call each round."""

    def __init__(self, retry_policy: RetryPolicy, stall: float) -> None:
        super().__init__(name="aria2", daemon=True)
        self._retry = retry_policy
        self._stall = stall
        self._inbox: SimpleQueue[_Job | None] = SimpleQueue()
        self._running: dict[str, _Job] = {}
        self._stopping = False

    def put(self, job: _Job) -> None:
        """Have a job done; its future gets aria2's status of it."""
        self._inbox.put(job)

    def stop(self) -> None:
        """End aria2c; jobs that were not done get the status `removed`."""
        self._inbox.put(None)

    def run(self) -> None:
        """Work until stopped, or until aria2c ends."""
        try:
            with Aria2Process(self._retry.settings, self._stall) as aria2:
                while not self._stopping:
                    self._add(aria2, self._collect())
                    self._look(aria2)
        except (OSError, requests.RequestException, LayerError) as error:
            self._let_go(
                {"status": "error", "errorCode": "1", "errorMessage": f"aria2c: {_words(error)}"}
            )
        finally:
            # aria2c is gone: whoever waits may let go of the part's lock
            self._let_go({"status": "removed"})

    def _collect(self) -> list[_Job]:
        """New jobs; waits for one when nothing runs, else for a tick."""
        jobs: list[_Job] = []
        try:
            item = self._inbox.get(timeout=_TICK if self._running else None)
            while True:
                if item is None:
                    self._stopping = True
                else:
                    jobs.append(item)
                item = self._inbox.get_nowait()
        except Empty:
            return jobs

    def _add(self, aria2: Aria2Process, jobs: list[_Job]) -> None:
        calls = [
            ("aria2.addUri", [[job.url], {"dir": str(job.part.parent), "out": job.part.name}])
            for job in jobs
        ]
        self._running.update(
            (f"unsent-{id(job)}", job) for job in jobs
        )  # so that they are let go of when the call fails
        for job, answer in zip(jobs, aria2.batch(calls), strict=True):
            del self._running[f"unsent-{id(job)}"]
            if isinstance(answer, list):
                self._running[answer[0]] = job
            else:
                job.done.set_result(_refusal(answer))

    def _look(self, aria2: Aria2Process) -> None:
        gids = list(self._running)
        answers = aria2.batch([("aria2.tellStatus", [gid, _STATUS_KEYS]) for gid in gids])
        finished, endless = [], []
        for gid, answer in zip(gids, answers, strict=True):
            status = answer[0] if isinstance(answer, list) else _refusal(answer)
            job = self._running[gid]
            if status["status"] in ("complete", "error", "removed"):
                finished.append(gid)
                del self._running[gid]
                job.done.set_result(_too_long(job, status) or status)
            elif _too_long(job, status):
                endless.append(gid)  # it is let go of once aria2 writes no more
        aria2.batch([("aria2.forceRemove", [gid]) for gid in endless])
        aria2.batch([("aria2.removeDownloadResult", [gid]) for gid in finished])

    def _let_go(self, status: dict[str, str]) -> None:
        jobs = [*self._running.values()]
        self._running.clear()
        while True:
            try:
                item = self._inbox.get_nowait()
            except Empty:
                break
            if item is not None:
                jobs.append(item)
        for job in jobs:
            job.done.set_result(status)


def _too_long(job: _Job, status: dict[str, str]) -> dict[str, str] | None:
    """What to say of a body that is, or says it is, longer than listed."""
    # no length is 0 to aria2; with a part that is there it tells the whole file's
    size = max(int(status.get(name, "0")) for name in ("totalLength", "completedLength"))
    if size <= job.size:
        return None
    found = f"more than the {job.size} bytes listed"
    return {"status": "error", "errorCode": _TOO_LONG, "errorMessage": found}


def _words(error: Exception) -> str:
    """What went wrong in talking to aria2c."""
    return f"{list(causes(error))[-1]}"


def _refusal(answer: Any) -> dict[str, str]:
    return {"status": "error", "errorCode": "1", "errorMessage": f"aria2c refused: {answer}"}
