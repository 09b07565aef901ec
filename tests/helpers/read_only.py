"""A folder that cannot be written: mounted read-only for root, without permissions for others."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, need_tool


def alphaqcm_on_read_only(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run one command where `folder` is read-only; skips where that cannot be had."""
    command = [sys.executable, "-m", "alphaqcm", *map(str, words)]
    if os.geteuid() == 0:  # permissions do not bind root: a mount of its own
        place = shlex.quote(str(folder))
        mount = f"mount --bind {place} {place} && mount -o remount,bind,ro {place}"
        inside = [need_tool("unshare"), "--mount"]
        if subprocess.run([*inside, "sh", "-c", mount], capture_output=True).returncode:
            pytest.skip("no mounts may be made here")
        command = [*inside, "sh", "-c", f"{mount} && exec {shlex.join(command)}"]
        return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=120)
    places = [folder, *folder.rglob("*")]
    modes = {place: place.stat().st_mode for place in places}
    try:
        for place in reversed(places):
            place.chmod(modes[place] & 0o555)
        return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=120)
    finally:
        for place in places:
            place.chmod(modes[place])
