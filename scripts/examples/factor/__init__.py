"""Factors of the example: a module each, whose `signal(df, n, column)` adds the column."""
