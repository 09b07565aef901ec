"""Bringing a data root up to date without doing everything again."""
