"""A process of its own that fetches all files a source lists for some days: to be killed, or raced.

python -m tests.helpers.fetch_child SOURCE CACHE DOWNLOADER FIRST_DAY COUNT
"""

from __future__ import annotations

import sys
from pathlib import Path

from alphaqcm.data_collection.archive.archive import Archive, FetchOptions
from tests.helpers.archive_tree import KLINES, days


def main() -> None:
    source, cache, downloader, first, count = sys.argv[1:]
    options = FetchOptions(downloader=downloader, connections=6, backoff=0.02, stall=5.0)
    with Archive.open(source, cache=Path(cache), options=options) as archive:
        print("started", flush=True)
        archive.fetch(days(KLINES, first, int(count)))
    print("done", flush=True)


if __name__ == "__main__":
    main()
