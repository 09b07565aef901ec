"""The monitor of a queue: what it knows, how it looks, its loop."""
