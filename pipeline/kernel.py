"""The decorator of functions that Numba compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def kernel(function: _F) -> _F:
    """Compile with Numba: strict IEEE order (no fast-math), no GIL, cached on disk.

    A kernel uses only kernels and constants of its own module: Numba's cache looks at that one
    file, and would not notice a change in another. Other modules' constants are passed to it.
    """
    compiled: _F = numba.njit(function, cache=True, nogil=True, fastmath=False, error_model="numpy")
    return compiled
