"""A queue of tasks that worker processes share through one JSON state file."""
