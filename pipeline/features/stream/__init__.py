"""Factors as a stream: the rows of a table one at a time, equal bit for bit to the whole of it."""
