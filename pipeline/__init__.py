"""The core: bytes and frames in, frames and files out.

No network, no terminal, no clock, no environment: what it needs is handed to it.
"""

if __name__ != "alphaqcm.pipeline":
    # under a second name every class would be there twice, and `except` would miss half of them
    raise ImportError(f"this package is alphaqcm.pipeline, not {__name__}: import it by that name")
