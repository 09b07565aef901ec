"""One page of an S3 (v1) listing, read from XML that nobody vouches for.

The page is parsed piece by piece and left at the first thing that no bucket says: the number of its
elements, lengths of keys and sizes of objects are all bounded, so that a page costs what it weighs.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Any

from alphaqcm.data_collection.errors import BadListing

MAX_ELEMENTS = 20_000
"""Of a page: at most 1,000 keys of at most ten elements each."""

MAX_OBJECT = 5 * 2**40
"""Bytes: no object of S3 is larger."""

_MAX_KEY = 1024  # characters; S3 allows as many bytes
_PIECE = 1 << 16
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class ListingEntry:
    """One key of a listing."""

    name: str  # without the prefix
    size: int
    etag: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class Page:
    """What one page holds; `following` is the marker of the next one, None on the last."""

    entries: list[ListingEntry]
    folders: list[str]  # without the prefix and the last slash
    following: str | None


def parse_page(url: str, text: str, prefix: str) -> Page:
    """Read the page that `url` gave for `prefix`; raises `BadListing`."""
    root = _parse(url, text)
    contents = root.findall("{*}Contents")
    keys = [_key(url, node, "Key") for node in contents]
    prefixes = [_key(url, node, "Prefix") for node in root.findall("{*}CommonPrefixes")]
    is_truncated = _TRUTH.get((root.findtext("{*}IsTruncated") or "").strip().lower())
    if is_truncated is None:
        raise not_listing(url, f"IsTruncated {root.findtext('{*}IsTruncated')!r}")
    following = root.findtext("{*}NextMarker") or max([*keys, *prefixes], default="")
    return Page(
        entries=[
            ListingEntry(
                name=key.removeprefix(prefix),
                size=_size(url, _text(url, node, "Size")),
                etag=_text(url, node, "ETag").strip('"')[:_MAX_KEY],
                last_modified=_text(url, node, "LastModified")[:_MAX_KEY],
            )
            for key, node in zip(keys, contents, strict=True)
        ],
        folders=[name.removeprefix(prefix).removesuffix("/") for name in prefixes],
        following=following[: _MAX_KEY + 1] if is_truncated else None,
    )


def _parse(url: str, text: str) -> ElementTree.Element:
    """The page's tree, of a bounded shape."""
    parser: Any = ElementTree.XMLPullParser(["start"])
    root: ElementTree.Element | None = None
    count = 0
    try:
        for at in range(0, len(text), _PIECE):
            parser.feed(text[at : at + _PIECE])
            for _, node in parser.read_events():
                root = node if root is None else root
                count += 1
                if count > MAX_ELEMENTS:
                    raise not_listing(url, f"more than {MAX_ELEMENTS} elements, of one page")
        parser.close()
    except ElementTree.ParseError as error:
        raise not_listing(url, f"{text[:80]!r} ({error})") from error
    if root is None or not root.tag.endswith("ListBucketResult"):
        raise not_listing(url, "nothing" if root is None else f"<{root.tag[:80]}>")
    if root.find("{*}IsTruncated") is None:
        raise not_listing(url, "no IsTruncated")
    return root


def not_listing(url: str, found: str) -> BadListing:
    """What to say of an answer that is no page of a listing."""
    return BadListing(
        url,
        expected="an S3 XML listing (ListBucketResult)",
        found=found,
        next_step="pass the bucket that lists the source: --listing URL",
    )


def _text(url: str, node: ElementTree.Element, name: str) -> str:
    text = node.findtext(f"{{*}}{name}")
    if text is None:
        raise BadListing(url, expected=f"<{name}> in each <{node.tag[:80]}>", found="none")
    return text


def _key(url: str, node: ElementTree.Element, name: str) -> str:
    key = _text(url, node, name)
    if len(key) > _MAX_KEY:
        raise not_listing(url, f"a key of {len(key)} characters")
    return key


def _size(url: str, text: str) -> int:
    plain = text.strip()
    if not re.fullmatch("[0-9]{1,18}", plain) or int(plain) > MAX_OBJECT:
        raise not_listing(url, f"an object of {text[:40]!r} bytes")
    return int(plain)
