"""A child process of this program: its log, its last words, its end when its parent ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import alphaqcm
from alphaqcm.data_collection._bootstrap import ONE_THREAD


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """What to start: a module of `alphaqcm.data_collection`, and its arguments."""

    module: str
    arguments: tuple[str, ...]
    name: str  # of its log, and in messages
    descriptors: tuple[int, ...] = ()  # that it inherits: the lock of the data root


class ChildProcess:
    """A running child; it ends when this process does: its standard input is then closed.

    Its output goes to `{logs}/{name}.log`; `hear` gets each line of its standard error, and those
    that it gives back are not of interest any more. Use it in a `with`, which waits for its end.
    """

    def __init__(
        self, command: ChildCommand, logs: Path, hear: Callable[[str], bool] = lambda _: False
    ) -> None:
        here = Path(alphaqcm.__file__).resolve().parent.parent
        paths = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
        module = f"alphaqcm.data_collection.{command.module}"
        with (logs / f"{command.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *command.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.PIPE,
                pass_fds=command.descriptors,
                env={**os.environ, "PYTHONPATH": paths, **ONE_THREAD},
            )
        self._name = command.name
        self._hear = hear
        self._last_words: deque[str] = deque(maxlen=1)
        # a pipe and not a file: a worker that a full disk ended can still say so
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._process.wait()
        self._listener.join()

    def _listen(self) -> None:
        for line in self._process.stderr or ():
            text = line.decode("utf-8", "replace").strip()
            if text and not self._hear(text):
                self._last_words.append(text)

    @property
    def alive(self) -> bool:
        """Whether it is at work."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Close its standard input: it is to end as soon as that loses nothing."""
        if self._process.stdin:
            self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Give it time to end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    @property
    def why_it_ended(self) -> str:
        """Its last words, or its exit code."""
        code = f"worker {self._name} ended with code {self._process.returncode}"
        return self._last_words[-1] if self._last_words else code
