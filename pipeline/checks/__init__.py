"""Checks as values: each looks at frames and returns findings, none stops a job.

A month of a series is looked at once (`examine_*`, `reconcile_month`): what it shows is a small
value that can be kept as JSON. The checks themselves read those values, so that a report over
years only rolls up.
"""
