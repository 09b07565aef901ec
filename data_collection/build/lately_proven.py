"""What a run may take for proven: large files that it, or a run of this week, has read whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.storage.file_store import LOCAL
from alphaqcm.pipeline.storage.layout import Layout
from alphaqcm.pipeline.storage.proven_versions import ProvenVersions, trusting

NAME = "proven.digests"
"""Below `_tmp`."""


@contextlib.contextmanager
def proven_lately(layout: Layout) -> Iterator[ProvenVersions]:
    """Within the block, large files that nobody touched since they were proven are not read again.

    Only for whether they are current; `alphaqcm docs integrity` tells why. When the block fails,
    nothing is kept: the next run reads everything.
    """
    today = datetime.now(UTC).date().toordinal()
    proven = ProvenVersions(
        layout.temp / NAME, layout.base, today, time.time_ns(), published=layout.base
    )
    if layout.store is not LOCAL:
        yield proven
        return
    proven.load()
    try:
        with trusting(proven):
            yield proven
    except BaseException:
        proven.forget()
        raise
    with contextlib.suppress(LayerError):
        proven.save()
