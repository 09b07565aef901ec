"""`python -m alphaqcm` is the `alphaqcm` command."""

from __future__ import annotations

import sys

from alphaqcm.data_collection.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
