"""The shell: listing, download, cache, queue, workers, monitor and the command line."""
