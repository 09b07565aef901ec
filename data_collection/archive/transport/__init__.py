"""How bytes come from a source: one protocol, three ways (HTTP, aria2, a directory)."""

from alphaqcm.data_collection.archive.transport.protocol import Downloader, Part, Wanted

__all__ = ["Downloader", "Part", "Wanted"]
