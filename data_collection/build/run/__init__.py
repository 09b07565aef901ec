"""A whole run: its tasks, the processes that do them."""
