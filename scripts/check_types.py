"""mypy over the whole package; fails too when it looked at fewer files than there are.

mypy follows the links in `alphaqcm/`. Would it stop at them, it would check three files and call
that a success: so the number of files that it names is held against those that are there.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FOLDERS = ("alphaqcm", "pipeline", "data_collection")
CHECKED = re.compile(r"(?:found in|checked) (\d+) source files?")


def main() -> int:
    """Run mypy with the arguments given; its exit code, or 1 for files left out."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *sys.argv[1:]],
        cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    print(done.stdout.strip())
    if done.returncode:
        return done.returncode
    there = {file.resolve() for folder in FOLDERS for file in (PROJECT / folder).rglob("*.py")}
    there.add(PROJECT / "bmac_kit.py")
    match = CHECKED.search(done.stdout)
    checked = int(match[1]) if match else 0
    if checked < len(there):
        print(f"mypy checked {checked} files of {len(there)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
