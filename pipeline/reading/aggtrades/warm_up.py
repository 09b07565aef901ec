"""Loading the compiled code before it is needed, so that a worker can say what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import date

import numpy as np
from numba.core import event

from alphaqcm.pipeline.domain.period import Period
from alphaqcm.pipeline.reading.aggtrades.compiled import buffers as k
from alphaqcm.pipeline.reading.aggtrades.minutes import MinuteSink
from alphaqcm.pipeline.reading.aggtrades.model import Amounts
from alphaqcm.pipeline.reading.aggtrades.sorted_path import RowSink, sum_sorted

_DAY = Period.day(date(1970, 1, 2))
_LINE = b"1,1.5,2.5,1,1,86400000,true\n"


class _Tell(event.Listener):
    """Calls back once, at the first function that has to be compiled."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told: Callable[[], None] | None = told

    def on_start(self, event: event.Event) -> None:
        if self._told is not None:
            told, self._told = self._told, None
            told()

    def on_end(self, event: event.Event) -> None:
        pass


def load(on_compile: Callable[[], None]) -> None:
    """Run every compiled function once, on one row."""
    text = np.zeros(k.FRONT_PAD + len(_LINE) + k.BACK_PAD, np.uint8)
    end = k.FRONT_PAD + len(_LINE)
    text[k.FRONT_PAD : end] = bytearray(_LINE)
    with event.install_listener("numba:compile", _Tell(on_compile)):
        MinuteSink(_DAY, Amounts()).take(text, k.FRONT_PAD, end, 7)
        with closing(RowSink(_DAY, None, k.BLOCK)) as sink:
            sink.take(text, k.FRONT_PAD, end, 7)
            sum_sorted(sink, _DAY, Amounts())
