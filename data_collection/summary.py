"""What a run says when it ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from data_collection.publish import Table
from data_collection.road import Progress
from data_collection.settings import RunSettings
from data_collection.tasks import Result, TaskKind

_LINES = 20
"""Most lines of one kind that are printed; `alphaqcm ledger` and `check` tell all."""


def print_summary(
    settings: RunSettings, progress: Progress, tables: list[Table], seconds: float
) -> None:
    """Files by type, what was absent, what failed, the tables, and the time it took."""
    print(f"\n{'data type':<22}{'files ok':>10}{'absent':>10}{'failed':>10}")
    for name in settings.types:
        counts = [0, 0, 0]
        for task, outcome in progress.outcomes.items():
            if task.type == name and task.kind is TaskKind.MONTH:
                counts[0] += outcome.files
                counts[1] += outcome.absent
                counts[2] += len(outcome.problems)
        counts[2] += sum(
            task.type == name and task.kind is TaskKind.MONTH for task in progress.failures
        )
        print(f"{name:<22}{counts[0]:>10,}{counts[1]:>10,}{counts[2]:>10,}")
    _print_some("absent at the source", list(_absent(progress)))
    _print_some(
        "worth knowing",
        [f"{t.id}: {note}" for t, o in progress.outcomes.items() for note in o.notes],
    )
    _print_some("FAILED", progress.problems)
    print(
        f"\nbuilt {progress.built:,} files, downloaded {progress.downloaded / 1e6:,.1f} MB, "
        f"{seconds:,.1f} s"
    )
    if progress.failures:
        print("no table was written: steps failed. Run the same command again to go on from here.")
    for table in tables:
        print(f"\n{table.path}")
        print(
            f"  {table.rows:,} rows x {table.columns} columns, {table.symbols} symbols, "
            + ("written" if table.written else "current")
        )
        _print_some("left out", [f"{name}: {why}" for name, why in table.left_out.items()])


def _absent(progress: Progress) -> Iterator[str]:
    """`type month: symbols` of every month that the source has nothing of."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for task, outcome in progress.outcomes.items():
        if task.kind is TaskKind.MONTH and outcome.result is Result.ABSENT:
            groups[task.type, task.month].append(task.symbol)
    for (name, month), symbols in groups.items():
        yield f"{name} {month}: {', '.join(symbols)}"


def _print_some(title: str, lines: list[str]) -> None:
    if not lines:
        return
    print(f"\n{title}:")
    for line in lines[:_LINES]:
        print(f"  {line}")
    if len(lines) > _LINES:
        print(f"  … and {len(lines) - _LINES:,} more")
