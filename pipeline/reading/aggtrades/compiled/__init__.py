"""The compiled part: bytes of CSV blocks to sums of minutes."""
