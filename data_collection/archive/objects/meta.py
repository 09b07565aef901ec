"""What obstore's words become here: a store of a URL, stats and versions of objects."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import xxhash

from alphaqcm.data_collection.archive.objects.errors import store_error
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.extras import Extra, require_extra
from alphaqcm.pipeline.storage.file_store import FileStat

if TYPE_CHECKING:
    from obstore.store import ObjectStore as RawStore

SCHEMES = ("s3", "gs", "az")
_RETRIES = 8  # of a request, by obstore: pauses double from 0.1 s up to 15 s
_WHOLE = 6 * 3600.0  # seconds for a request with its body: a table over a slow line is hours


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for a store, in seconds."""

    silence: float  # without a byte of an answer, after which a request is made again
    give_up: (
        float  # after which it is not made again; below 900, when S3 takes its signature as old
    )


ASKING = Patience(30.0, 120.0)
SENDING = Patience(240.0, 480.0)
"""For the end of a large object: the store joins its parts meanwhile, and may not say a word."""


def open_raw(url: str, patience: Patience) -> RawStore:
    """Open the store of a URL; raises `UsageError`, `StoreError`."""
    require_extra("obstore", Extra.S3)
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES or not rest.split("/")[0]:
        raise UsageError(
            f"--data-root {url}",
            expected="s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
        )
    # a server of one's own is often without TLS; naming it with http:// says that this is meant
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    options: Any = {
        "timeout": timedelta(seconds=_WHOLE),
        "read_timeout": timedelta(seconds=patience.silence),
        **({"allow_http": True} if plain else {}),
    }
    retry: Any = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=patience.give_up)}
    try:
        return from_url(url, client_options=options, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise store_error(url, error) from error


def matches(name: str, pattern: str) -> bool:
    """Whether a name below a folder is one of a glob: `*` within a segment, `**/` any segments."""
    if "**" in pattern:
        first, last = pattern.split("**/")
        return name.startswith(first) and fnmatch.fnmatchcase(name.rsplit("/", 1)[-1], last)
    pairs = zip(name.split("/"), pattern.split("/"), strict=True)
    return all(fnmatch.fnmatchcase(part, wanted) for part, wanted in pairs)


def stat_of(meta: Mapping[str, Any]) -> FileStat:
    """An object's stat, from what a request or a listing tells of it."""
    changed = int(meta["last_modified"].timestamp() * 1e9)
    tag = str(meta["e_tag"] or changed).strip('"')  # some listings leave the quotes out
    size = int(meta["size"])
    return FileStat(size, changed, (size, xxhash.xxh3_64_intdigest(tag.encode())))


def version_of(meta: Mapping[str, Any]) -> str:
    """Tag and version in one text, as `update_mode` reads it."""
    parts: Iterable[Any] = (meta["e_tag"], meta["version"])
    return "|".join(str(part) if part is not None else "" for part in parts)


def update_mode(version: str) -> dict[str, str]:
    """What obstore wants to know of the version that is to be replaced."""
    tag, _, number = version.rpartition("|")
    told = {"e_tag": tag, "version": number}
    return {name: value for name, value in told.items() if value}
