"""What a run says when it ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from alphaqcm.data_collection.build.publish import Table
from alphaqcm.data_collection.build.run.local_executor import RunProgress
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.queue.task import TaskKind, TaskResult
from alphaqcm.pipeline.domain.registry import Market

_LINES = 20
"""Most lines of one kind that are printed; `alphaqcm ledger` and `check` tell all."""


def print_summary(
    settings: RunSettings, progress: RunProgress, tables: list[Table] | None, seconds: float
) -> None:
    """Files by type, what was absent, what failed, the tables (None: none asked for), the time."""
    months = {t for t in (*progress.outcomes, *progress.failures) if t.kind is TaskKind.MONTH}
    if months:
        print(f"\n{'data type':<22}{'files ok':>10}{'absent':>10}{'failed':>10}")
    for name in settings.types if months else ():
        told = [o for t, o in progress.outcomes.items() if t in months and t.type == name]
        failed = sum(t.type == name and t in months for t in progress.failures)
        failed += sum(len(outcome.problems) for outcome in told)
        files, absent = sum(o.files for o in told), sum(o.absent for o in told)
        print(f"{name:<22}{files:>10,}{absent:>10,}{failed:>10,}")
    _print_some("absent at the source", list(_absent(progress)))
    _print_some(
        "worth knowing",
        [f"{t.id}: {note}" for t, o in progress.outcomes.items() for note in o.notes],
    )
    _print_some("days without a row in any file", _holes(progress))
    _print_some("FAILED", progress.problems)
    if progress.blocked:
        print(f"  and {progress.blocked:,} steps that stand on these were not done")
    print(
        f"\nbuilt {progress.built:,} files, downloaded {progress.downloaded / 1e6:,.1f} MB, "
        f"{seconds:,.1f} s"
    )
    if progress.retried_errors:
        print(retried_errors_text(progress))
    if tables is None:
        return
    if not tables:
        print(f"no table was written: {_why_none(settings, progress)}")
    for table in tables:
        print(f"\n{table.path}")
        symbols = counted(table.symbols, "symbol")
        state = "written" if table.written else "current"
        print(f"  {table.rows:,} rows x {table.columns} columns, {symbols}, {state}")
        _print_some("left out", [f"{name}: {why}" for name, why in table.left_out.items()])


def retried_errors_text(progress: RunProgress) -> str:
    """What went wrong in single attempts, by kind."""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in progress.retried_errors.most_common())
    return f"attempts that went wrong and were made again: {kinds}"


def counted(count: int, word: str) -> str:
    """How many there are of something: `1 symbol`, `2,000 symbols`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _why_none(settings: RunSettings, progress: RunProgress) -> str:
    if progress.failures:
        return "steps failed. The same command goes on from here; an older table is unchanged."
    if settings.market is not Market.UM:
        return f"{settings.market} ends at the 1-minute and hourly layers."
    return f"no symbol has a 1m kline in {settings.span.start}..{settings.span.end}."


def _absent(progress: RunProgress) -> Iterator[str]:
    """`type month: symbols` of every month that the source has nothing of."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for task, outcome in progress.outcomes.items():
        if task.kind is TaskKind.MONTH and outcome.result is TaskResult.ABSENT and outcome.absent:
            groups[task.type, task.month].append(task.symbol)
    for (name, month), symbols in groups.items():
        yield f"{name} {month}: {', '.join(symbols)}"


def _holes(progress: RunProgress) -> list[str]:
    return [
        f"{task.type} {task.symbol}: {', '.join(outcome.holes)}"
        for task, outcome in progress.outcomes.items()
        if outcome.holes
    ]


def _print_some(title: str, lines: list[str]) -> None:
    if not lines:
        return
    print(f"\n{title}:")
    for line in lines[:_LINES]:
        print(f"  {line}")
    if len(lines) > _LINES:
        print(f"  … and {len(lines) - _LINES:,} more")
