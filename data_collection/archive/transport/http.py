"""HTTP with requests: the default transport, and the way every listing and checksum is read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import requests
from requests.adapters import HTTPAdapter
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
from alphaqcm.data_collection.archive.transport.protocol import PartFile, Wanted
from alphaqcm.data_collection.archive.transport.retry_policy import RetryPolicy
from alphaqcm.data_collection.errors import ErrorKind, Refused, TransientError
from alphaqcm.pipeline.errors import layer_error

_CHUNK = 1 << 18
_LARGEST_TEXT = 1 << 25  # a listing page is about 0.4 MB
_THROTTLED = (403, 418, 429)
_CONNECT_SECONDS = 20.0
_AGENT = f"alphaqcm-data/{__version__}"


class HttpDownloader:
    """Plain HTTP/1.1 with keep-alive; a proxy from the environment is honoured."""

    def __init__(self, source: HttpSource, retry_policy: RetryPolicy, *, stall: float) -> None:
        self._source = source
        self._retry = retry_policy
        self.stall = stall
        self._patience = Patience(min(_CONNECT_SECONDS, stall), stall)
        self._session = requests.Session()
        # identity: the bytes and lengths on the wire are the file's own
        self._headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
        adapter = HTTPAdapter(
            pool_connections=4, pool_maxsize=retry_policy.settings.connections + 1
        )
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._adapter = adapter
        # read from the environment once, not once a request
        settings = self._session.merge_environment_settings(
            source.base, {}, stream=True, verify=None, cert=None
        )
        self._proxies, self._verify = settings["proxies"], settings["verify"]

    def close(self) -> None:
        """See `Downloader`."""
        self._session.close()

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
            declared = response.headers.get("Content-Length", "")
            if declared.isdigit() and start + int(declared) != wanted.size:
                part.clear()
                found = f"{start + int(declared)} bytes declared, {wanted.size} listed"
                raise TransientError(ErrorKind.LENGTH, url, found)
            self._pour(url, response, part)
        return True

    def explain(self, url: str) -> TransientError | None:
        """What keeps the source from answering, asked without a body; None when it answers."""
        with self._ask(url, {}, "HEAD") as response:
            fine = response.status_code in (200, 206, 404)
            return None if fine else _answer_trouble(url, response)

    def _ask(self, url: str, headers: dict[str, str], method: str = "GET") -> requests.Response:
        # prepared without the session: no cookies, no look into ~/.netrc for each request
        request = requests.Request(method, url, self._headers | headers).prepare()
        try:
            response = self._send(self._adapter.send, request)
            if response.is_redirect:
                response.close()
                response = self._send(self._session.send, request)
            return response
        except requests.RequestException as error:
            raise _connection_trouble(url, error, self._patience) from error

    def _send(
        self, send: Callable[..., requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        return send(
            request,
            stream=True,
            timeout=(self._patience.connect, self._patience.read),
            proxies=self._proxies,
            verify=self._verify,
        )

    def _pour(self, url: str, response: requests.Response, part: PartFile) -> None:
        try:
            with part.path.open("ab") as target:
                while piece := self._next_piece(url, response):
                    target.write(piece)
                    self._retry.spend(len(piece))
        except OSError as error:
            raise layer_error(part.path, error) from error

    def _read_all(self, url: str, response: requests.Response) -> bytes:
        pieces, size = [], 0
        try:
            for piece in response.iter_content(_CHUNK):
                size += len(piece)
                if size > _LARGEST_TEXT:
                    raise TransientError(
                        ErrorKind.LENGTH, url, f"more than {_LARGEST_TEXT} bytes of text"
                    )
                pieces.append(piece)
        except requests.RequestException as error:
            raise _connection_trouble(url, error, self._patience) from error
        return b"".join(pieces)

    def _next_piece(self, url: str, response: requests.Response) -> bytes:
        """The bytes that have arrived: what is there before a cut is not lost."""
        try:
            return bytes(response.raw.read1(_CHUNK))
        except (HTTPError, OSError) as error:
            raise _connection_trouble(url, error, self._patience) from error


def _continues(response: requests.Response, start: int) -> bool:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == start


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
    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.TooManyRedirects):
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
