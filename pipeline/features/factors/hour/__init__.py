"""Columns that come from one hour's minutes alone."""
