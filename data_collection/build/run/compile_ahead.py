"""A process beside a run that compiles what the run will need, once for a machine.

What Numba compiles it keeps on disk, by source and processor. On a fresh machine every worker would
wait for it, half a minute in all. So this process does the whole job once over a day of made-up
trades, while the run lists and downloads: the very code paths of the run, and so the very functions
and types. Then it leaves a mark, and the next start compiles nothing.

Started by `compiling_ahead` as a module with the run's `_tmp`, a folder to work in, and a pipe as
standard input; it ends with the run.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from alphaqcm.data_collection.build.run.run_worker import stop_with_parent
from alphaqcm.data_collection.build.run.task_graph import TRADES
from alphaqcm.data_collection.build.task import Stage, Task
from alphaqcm.data_collection.process.child_process import ChildCommand, ChildProcess
from alphaqcm.data_collection.process.compiled import is_compiled, mark_compiled
from alphaqcm.data_collection.queue.task import Outcome
from alphaqcm.pipeline.errors import PipelineError

_TOLD = "compiled: "
"""Begins the line of standard error that counts the functions so far."""

_TELL_EVERY = 20  # functions, of about a hundred
_DAY = date(2024, 2, 28)


@contextlib.contextmanager
def compiling_ahead(temp: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Compile in another process while the block runs, where this machine has not done so yet.

    `temp` is the `_tmp` of the run's data root; `say` hears that it happens and how far it is.
    """
    if is_compiled():
        yield
        return

    def hear(line: str) -> bool:
        if line.startswith(_TOLD):
            say(f"compiling for this machine, once: {line.removeprefix(_TOLD)}")
            return True
        return False

    say("compiling for this machine, once, while files are listed and fetched")
    logs = temp / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="compile-", dir=temp) as folder:
        command = ChildCommand("build.run.compile_ahead", (str(temp), folder), "compile")
        with ChildProcess(command, logs, hear):
            yield


def note_compiled(outcomes: Mapping[Task, Outcome]) -> None:
    """Leave the mark where a run has made trades and factors: its workers compiled everything."""
    built = [task for task, outcome in outcomes.items() if outcome.built]
    trades = any(task.stage is Stage.MONTH and task.type == TRADES for task in built)
    if trades and any(task.stage is Stage.FACTORS for task in built):
        mark_compiled()


def compile_all(temp: Path, folder: Path, say: Callable[[int], None]) -> None:
    """Do the whole job once in `folder`; `say` hears the number of functions compiled so far.

    Workers of the data root of `temp` wait for the trades' functions, which come first.
    """
    from filelock import FileLock
    from numba.core import event

    from alphaqcm.data_collection.build.stages.task_runner import COMPILE_LOCK
    from alphaqcm.pipeline.reading.aggtrades import load_kernels

    class Count(event.Listener):
        done = 0

        def on_start(self, event: event.Event) -> None:
            pass

        def on_end(self, event: event.Event) -> None:
            self.done += 1
            if self.done % _TELL_EVERY == 0:
                say(self.done)

    with event.install_listener("numba:compile", Count()):
        with FileLock(temp / COMPILE_LOCK):
            load_kernels()
        _whole_job(folder)
    mark_compiled()


def _whole_job(folder: Path) -> None:
    from alphaqcm.data_collection.build.publish import publish
    from alphaqcm.data_collection.build.run.progress import RunProgress
    from alphaqcm.data_collection.build.run.task_graph import run_tasks
    from alphaqcm.data_collection.build.settings import RunSettings
    from alphaqcm.data_collection.build.stages.perform import no_gate
    from alphaqcm.data_collection.build.stages.task_runner import open_task_runner
    from alphaqcm.data_collection.simulation.sample import SampleSpec, write_sample
    from alphaqcm.pipeline.domain.date_range import DateRange
    from alphaqcm.pipeline.domain.registry import Market
    from alphaqcm.pipeline.domain.series_type import types_of

    spec = SampleSpec(("BTCUSDT",), days=1, start=_DAY, trades_per_day=100)
    settings = RunSettings(
        Market.UM,
        spec.symbols,
        DateRange(_DAY, _DAY),
        folder / "root",
        str(folder / "archive"),
        types=types_of(Market.UM),
    )
    write_sample(folder / "archive", spec)
    progress = RunProgress()
    with open_task_runner(settings) as runner:
        for task in run_tasks(settings):
            progress.outcomes[task] = runner.perform(task, no_gate)
    publish(settings, progress)


def main() -> int:
    """Compile; returns the exit code."""
    stop_with_parent()
    try:
        compile_all(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            lambda count: print(f"{_TOLD}{count} functions", file=sys.stderr, flush=True),
        )
    except PipelineError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
