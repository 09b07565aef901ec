"""Objects that appear together."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from alphaqcm.pipeline.errors import layer_error
from alphaqcm.pipeline.storage.atomic_write import CommitHook

if TYPE_CHECKING:
    from alphaqcm.data_collection.archive.objects.object_store import ObjectStore


class ObjectBatch:
    """Objects that appear together: written to local files, put one after another.

    The last one, which says what the others are, is put inside the hook of the commit.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._files: list[tuple[Path, Path]] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        if isinstance(error, OSError) and self._files:
            raise layer_error(self._files[-1][1], error) from error

    def add(self, path: Path) -> Path:
        """A local file in the working folder."""
        try:
            if self._folder is None:
                self._store.root.mkdir(parents=True, exist_ok=True)
                self._folder = tempfile.TemporaryDirectory(prefix=".put.", dir=self._store.root)
            local = Path(self._folder.name) / f"{len(self._files)}{path.suffix}"
            local.touch()
        except OSError as error:
            raise layer_error(path, error) from error
        self._files.append((local, path))
        return local

    def commit(self, gate: CommitHook = contextlib.nullcontext) -> None:
        """Put them all, the last one inside `gate`."""
        for local, path in self._files[:-1]:
            self._store.upload(path, local)
        with gate():
            for local, path in self._files[-1:]:
                self._store.upload(path, local)
