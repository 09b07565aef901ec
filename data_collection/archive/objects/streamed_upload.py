"""One large object that is sent in parts while it is made, and appears at its end or not at all.

The answer to the end may be lost although the store has done what was asked; asked again, many
stores know nothing of the upload any more. So after an error there the object is looked at.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from alphaqcm.data_collection.archive.objects.errors import store_error
from alphaqcm.data_collection.errors import StoreError
from alphaqcm.pipeline.storage.file_store import Written

if TYPE_CHECKING:
    from alphaqcm.data_collection.archive.objects.object_store import ObjectStore

PART = 8 << 20
"""Bytes of a part of a large object."""

_AT_ONCE = 3  # parts


class StreamedUpload:
    """An upload, in a `with`: an exception in the block aborts it.

    What obstore raises becomes `StoreError`; so does any `OSError` of the block, as that is what
    obstore's writer tells a refusal with.
    """

    def __init__(self, store: ObjectStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._upload: Any = None

    def __enter__(self) -> Self:
        import obstore

        store, path = self._store, self._path
        self._upload = obstore.open_writer(
            store.sending, store.key(path), buffer_size=PART, max_concurrency=_AT_ONCE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: Any
    ) -> None:
        from obstore.exceptions import BaseError

        if error is None:
            return
        with contextlib.suppress(Exception):
            self._upload.__exit__(kind, error, at)
        if isinstance(error, BaseError | OSError):
            raise store_error(self._store.name(self._path), error) from error

    def write(self, data: bytes, /) -> None:
        """Send some more."""
        self._upload.write(data)

    def finish(self, told: Written) -> None:
        """Let the object appear; `told` is what was sent.

        An error is none where the object that lies there then is the one that was sent.
        """
        from obstore.exceptions import BaseError

        try:
            self._upload.close()
        except (BaseError, OSError):
            if not self._is_there(told):
                raise

    def _is_there(self, told: Written) -> bool:
        """Whether the object has these very bytes: its whole is read, as a size proves nothing."""
        try:
            found = self._store.stat(self._path)
            return (
                found is not None
                and found.size == told.size
                and self._store.sha256(self._path) == told.sha256
            )
        except StoreError:
            return False  # what the end was refused with says more
