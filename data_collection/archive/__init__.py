"""The public archive: what it lists, what is needed of it, fetched and verified."""
