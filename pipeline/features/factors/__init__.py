"""Every number of the wide table: from minutes, settlements and metrics rows to hourly columns.

Hours and windows are computed by Numba kernels that add in one fixed order, so a value depends on
the rows it is defined on and on nothing else: not on threads, chunks or the rows around them.
"""
