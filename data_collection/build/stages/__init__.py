"""Doing one task: a month of a series, an hourly file, a symbol's factors."""
