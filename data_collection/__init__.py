"""The shell: listing, download, cache, queue, workers, monitor and the command line."""

if __name__ != "alphaqcm.data_collection":
    # under a second name every class would be there twice, and `except` would miss half of them
    raise ImportError(
        f"this package is alphaqcm.data_collection, not {__name__}: import it by that name"
    )
