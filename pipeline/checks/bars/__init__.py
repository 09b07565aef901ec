"""Checks on bars: what a month shows, what is wrong with it, and which bars are missing."""
