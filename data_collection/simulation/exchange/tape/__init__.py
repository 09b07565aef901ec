"""Tapes: the trades that the simulated exchange has seen, generated or read from an archive."""
