"""HTTP with requests: the default transport, and the way every listing and checksum is read."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import requests
from requests.utils import resolve_proxies
from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    NameResolutionError,
    ProtocolError,
    ReadTimeoutError,
)

from alphaqcm._version import __version__
from alphaqcm.data_collection.archive.sources import HttpSource
from alphaqcm.data_collection.archive.transport.error_causes import Patience, causes, short_cause
from alphaqcm.data_collection.archive.transport.paced_http import PacedAdapter
from alphaqcm.data_collection.archive.transport.protocol import PartFile, Wanted
from alphaqcm.data_collection.archive.transport.retry_policy import RetryPolicy
from alphaqcm.data_collection.errors import ErrorKind, Refused, TransientError
from alphaqcm.pipeline.errors import layer_error

_CHUNK = 1 << 18
_LARGEST_TEXT = 1 << 22  # a listing page is about 0.4 MB
_MOST_REDIRECTS = 10
_THROTTLED = (403, 418, 429)
_MOVED = (301, 302, 303, 307, 308)
_CONNECT_SECONDS = 20.0
_AGENT = f"alphaqcm-data/{__version__}"


class HttpDownloader:
    """Plain HTTP/1.1 with keep-alive; a proxy from the environment is honoured."""

    def __init__(self, source: HttpSource, retry_policy: RetryPolicy, *, stall: float) -> None:
        self._source = source
        self._retry = retry_policy
        self.stall = stall
        self._patience = Patience(min(_CONNECT_SECONDS, stall), stall)
        session = requests.Session()
        # identity: the bytes and lengths on the wire are the file's own
        self._headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
        self._adapter = PacedAdapter(
            pool_connections=4, pool_maxsize=retry_policy.settings.connections + 1
        )
        # read from the environment once, not once a request
        settings = session.merge_environment_settings(
            source.base, {}, stream=True, verify=None, cert=None
        )
        self._proxies = settings["proxies"]
        self._verify = True if settings["verify"] is None else settings["verify"]

    def close(self) -> None:
        """See `Downloader`."""
        self._adapter.close()

    def text(self, key: str) -> str | None:
        """See `Downloader`."""
        return self.get_text(self._source.url(key))

    def get_text(self, url: str) -> str | None:
        """A small text at any address; None on a 404."""
        with self._ask(url, {}) as response:
            if response.status_code == 404:
                _drain(response)
                return None
            if response.status_code != 200:
                raise _answer_trouble(url, response)
            return self._read_all(url, response).decode("utf-8", errors="replace")

    def body(self, wanted: Wanted, part: PartFile) -> bool:
        """See `Downloader`."""
        url, start = self._source.url(wanted.key), part.size
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and wanted.etag:
            headers["If-Range"] = f'"{wanted.etag}"'
        with self._ask(url, headers) as response:
            status = response.status_code
            if status == 404:
                _drain(response)
                return False
            if start and status == 200:
                part.clear()  # the source does not resume, or the file is another one now
                start = 0
            elif status == 416 or (status == 206 and not _continues(response, start)):
                part.clear()
                raise TransientError(
                    ErrorKind.RANGE, url, f"status {status} for bytes from {start}"
                )
            elif status not in (200, 206):
                raise _answer_trouble(url, response)
            declared = whole_number(response.headers.get("Content-Length", ""))
            if declared is not None and start + declared != wanted.size:
                part.clear()
                found = f"{start + declared} bytes declared, {wanted.size} listed"
                raise TransientError(ErrorKind.LENGTH, url, found)
            self._pour(url, response, wanted, part)
        return True

    def explain(self, url: str) -> TransientError | None:
        """What keeps the source from answering, asked without a body; None when it answers."""
        with self._ask(url, {}, "HEAD") as response:
            fine = response.status_code in (200, 206, 404)
            return None if fine else _answer_trouble(url, response)

    def _ask(self, url: str, headers: dict[str, str], method: str = "GET") -> requests.Response:
        """The head of the answer, redirects followed; their bodies are not read."""
        address = url
        for _ in range(_MOST_REDIRECTS):
            response = self._send(url, address, headers, method)
            moved = response.headers.get("Location")
            if response.status_code not in _MOVED or moved is None:
                return response
            response.close()
            address = _new_address(url, address, moved)
        raise _bad_redirect(url, "redirects without end")

    def _send(
        self, url: str, address: str, headers: dict[str, str], method: str
    ) -> requests.Response:
        # prepared without a session: no cookies, no look into ~/.netrc for each request
        try:
            request = requests.Request(method, address, self._headers | headers).prepare()
            proxies = self._proxies
            if address != url:  # the environment may ask for another proxy there, or for none
                proxies = resolve_proxies(request, {})
            return self._adapter.send(
                request,
                stream=True,
                timeout=(self._patience.connect, self._patience.read),
                proxies=proxies,
                verify=self._verify,
            )
        except (requests.RequestException, HTTPError, ValueError, OSError) as error:
            raise _connection_trouble(url, error, self._patience) from error

    def _pour(self, url: str, response: requests.Response, wanted: Wanted, part: PartFile) -> None:
        """Append the body, never beyond the size that is listed."""
        left = wanted.size - part.size
        try:
            with part.path.open("ab") as target:
                while piece := self._next_piece(url, response):
                    if len(piece) > left:
                        raise TransientError(
                            ErrorKind.LENGTH, url, f"more than the {wanted.size} bytes listed"
                        )
                    left -= len(piece)
                    target.write(piece)
                    self._retry.spend(len(piece))
        except TransientError as error:
            if error.kind is ErrorKind.LENGTH:
                part.clear()  # not the file that is listed
            raise
        except OSError as error:
            raise layer_error(part.path, error) from error

    def _read_all(self, url: str, response: requests.Response) -> bytes:
        pieces, size = [], 0
        while piece := self._next_piece(url, response):
            size += len(piece)
            if size > _LARGEST_TEXT:
                raise TransientError(
                    ErrorKind.LENGTH, url, f"more than {_LARGEST_TEXT} bytes of text"
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _next_piece(self, url: str, response: requests.Response) -> bytes:
        """The bytes that have arrived: what is there before a cut is not lost."""
        try:
            return bytes(response.raw.read1(_CHUNK))
        except (HTTPError, OSError) as error:
            raise _connection_trouble(url, error, self._patience) from error


def whole_number(text: str) -> int | None:
    """A length as a header tells it, in plain digits; None where it is anything else."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _continues(response: requests.Response, start: int) -> bool:
    match = re.match("bytes ([0-9]{1,18})-", response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == start


def _new_address(url: str, address: str, moved: str) -> str:
    """Where a redirect leads: an http(s) address; raises `Refused`.

    Headers arrive as Latin-1, their bytes are UTF-8 where they are not plain.
    """
    try:
        found = urljoin(address, moved.encode("latin-1").decode())
    except ValueError as error:
        raise _bad_redirect(url, f"{moved[:200]!r}") from error
    if not found.startswith(("http://", "https://")):
        raise _bad_redirect(url, f"{found[:200]!r}")
    return found


def _bad_redirect(url: str, found: str) -> Refused:
    return Refused(
        url,
        expected="the file itself, or a redirect to an http(s) address that has it",
        found=found,
        next_step="check the proxy and --source",
    )


def _drain(response: requests.Response) -> None:
    """Read the rest of a small answer, so that its connection can be used again."""
    try:
        response.raw.read(1 << 16)
    except (OSError, HTTPError):
        response.close()


def _answer_trouble(url: str, response: requests.Response) -> TransientError:
    """What an answer that is neither the file nor a 404 means; raises `Refused` for the final."""
    status = response.status_code
    found = f"status {status}"
    _drain(response)
    if status == 451:
        raise Refused(
            url,
            expected="the archive to be served in this region",
            found=found,
            next_step="use a mirror or a copy: --source URL or DIR",
        )
    if status in _THROTTLED:
        return TransientError(ErrorKind.THROTTLED, url, found, retry_seconds(response.headers))
    if status == 503 and "Retry-After" in response.headers:
        return TransientError(ErrorKind.THROTTLED, url, found, retry_seconds(response.headers))
    if status >= 500 or status == 408:
        return TransientError(ErrorKind.SERVER, url, found)
    raise Refused(
        url,
        expected="status 200, 206 or 404",
        found=found,
        next_step="check that --source is an archive or a mirror of it",
    )


def retry_seconds(headers: requests.structures.CaseInsensitiveDict[str]) -> float | None:
    """Seconds of a Retry-After header, given as a number or a date; None where there is none."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _connection_trouble(url: str, error: Exception, patience: Patience) -> TransientError:
    """Sort what requests or urllib3 raised; raises `Refused` for what will not mend."""
    found, told = short_cause(error, patience), str(error)
    if any(isinstance(cause, NameResolutionError) for cause in causes(error)):
        return TransientError(ErrorKind.NAME, url, found)
    if isinstance(error, requests.exceptions.SSLError):
        raise Refused(
            url,
            expected="a trusted connection to the file itself",
            found=found,
            next_step="check the proxy, the certificates and --source",
        ) from error
    if isinstance(error, requests.Timeout | ReadTimeoutError) or "timed out" in told.lower():
        return TransientError(ErrorKind.STALL, url, found)
    if isinstance(error, IncompleteRead) or "IncompleteRead" in told:
        return TransientError(ErrorKind.SHORT, url, found)
    if isinstance(error, requests.ConnectionError | ProtocolError | OSError):
        return TransientError(ErrorKind.CONNECTION, url, found)
    raise Refused(url, expected="an answer", found=found, next_step="check --source") from error
