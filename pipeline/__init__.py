"""The core: bytes and frames in, frames and files out.

No network, no terminal, no clock, no environment: what it needs is handed to it.
"""

__version__ = "0.1.0"
