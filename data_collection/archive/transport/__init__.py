"""How bytes come from a source: one protocol, three ways (HTTP, aria2, a directory)."""

from alphaqcm.data_collection.archive.transport.protocol import Downloader, PartFile, Wanted

__all__ = ["Downloader", "PartFile", "Wanted"]
