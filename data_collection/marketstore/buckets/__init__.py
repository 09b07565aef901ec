"""Buckets: what can be queried under a key, and where its rows come from."""
