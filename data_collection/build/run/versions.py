"""What must be the same in every process that makes a run's files, as their bytes depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from alphaqcm._version import __version__

Versions = Mapping[str, str]
"""Name of a package -> its version."""


@lru_cache(1)
def own_versions() -> Versions:
    """Those of this process; asked of the workers of a cluster too."""
    import distributed
    import numba
    import numpy
    import polars
    import pyarrow

    modules = (distributed, numba, numpy, polars, pyarrow)
    found = {module.__name__: str(module.__version__) for module in modules}
    return {"alphaqcm": __version__, **found}


def listed(versions: object) -> str:
    """Versions in words; what is none of them, as it is."""
    if not isinstance(versions, Mapping):
        return str(versions)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def differing(versions: Versions, others: Versions) -> str:
    """Those in which a process differs from the others, in words; empty where it does not."""
    names = [name for name in versions if versions[name] != others.get(name)]
    if not names:
        return ""
    run = {name: others.get(name, "unknown") for name in names}
    return f"{listed({name: versions[name] for name in names})}; the run has {listed(run)}"
