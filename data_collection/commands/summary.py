"""What a run says when it ends: for people, as plain values, and as an exit code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from alphaqcm.data_collection.build.publish import Table
from alphaqcm.data_collection.build.run.progress import RunProgress
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.task import Stage
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.pipeline.domain.registry import Market

_LINES = 20
"""Most lines of one kind that are printed; `alphaqcm ledger` and `check` tell all."""


def print_summary(
    settings: RunSettings, progress: RunProgress, tables: list[Table] | None, seconds: float
) -> None:
    """Files by type, what was absent, what failed, the tables (None: none asked for), the time."""
    months = {t for t in (*progress.outcomes, *progress.failures) if t.stage is Stage.MONTH}
    if months:
        print(f"\n{'data type':<22}{'files ok':>10}{'absent':>10}{'failed':>10}")
    for name in settings.types if months else ():
        files, absent, failed = _counts(name, progress)
        print(f"{name:<22}{files:>10,}{absent:>10,}{failed:>10,}")
    _print_some("absent at the source", list(_absent(progress)))
    _print_some(
        "worth knowing",
        [f"{t.id}: {note}" for t, o in progress.outcomes.items() for note in o.notes],
    )
    _print_some("days without a row in any file", _gaps(progress))
    _print_some("CORRUPT at the source, left out", corrupt_files(progress))
    _print_some("FAILED", _failures(progress))
    if progress.blocked:
        print(f"  and {progress.blocked:,} tasks that need these were not done")
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
        if table.healed:
            state += "; it or its manifest was damaged on the disk, and was made again"
        print(f"  {table.rows:,} rows x {table.columns} columns, {symbols}, {state}")
        _print_some("left out", [f"{name}: {why}" for name, why in table.left_out.items()])


def _counts(name: str, progress: RunProgress) -> tuple[int, int, int]:
    """Archive files of a data type: used, absent at the source, failed."""
    outcomes = [
        outcome
        for task, outcome in progress.outcomes.items()
        if task.stage is Stage.MONTH and str(task.type) == name
    ]
    failed = sum(t.stage is Stage.MONTH and str(t.type) == name for t in progress.failures)
    failed += sum(len(outcome.problems) for outcome in outcomes)
    return sum(o.files for o in outcomes), sum(o.absent for o in outcomes), failed


def retried_errors_text(progress: RunProgress) -> str:
    """What went wrong in single attempts, by kind."""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in progress.retried_errors.most_common())
    return f"attempts that went wrong and were made again: {kinds}"


def corrupt_files(progress: RunProgress) -> list[str]:
    """What is wrong with archive files that cannot be used: `key: reason`."""
    return [text for outcome in progress.outcomes.values() for text in outcome.problems]


def exit_code(
    progress: RunProgress, accepted: tuple[str, ...] | None, *, written: bool = True
) -> ExitCode:
    """The code of a run or update: `accepted` are names or patterns of known corrupt files.

    `written`: whether there is what the run is for, its table or the layers that it ends at.
    """
    if progress.failures:
        return ExitCode.FAILED
    unknown = [text for text in corrupt_files(progress) if not _accepted(text, accepted or ())]
    if not unknown:
        return ExitCode.DONE
    return ExitCode.CORRUPT_SOURCE if written else ExitCode.FAILED


def _accepted(problem: str, accepted: tuple[str, ...]) -> bool:
    key = problem.partition(":")[0]
    return any(
        fnmatchcase(name, pattern) for pattern in accepted for name in (key, key.rpartition("/")[2])
    )


def document(
    settings: RunSettings, progress: RunProgress, tables: list[Table] | None, seconds: float
) -> dict[str, Any]:
    """The same as plain values."""
    types = {}
    for name in settings.types:
        files, absent, failed = _counts(name, progress)
        types[name] = {"files": files, "absent": absent, "failed": failed}
    return {
        "market": str(settings.market),
        "symbols": list(settings.symbols),
        "start": settings.span.start,
        "end": settings.span.end,
        "data_root": settings.store or settings.root,
        "types": types,
        "absent": list(_absent(progress)),
        "notes": [
            f"{task.id}: {note}" for task, o in progress.outcomes.items() for note in o.notes
        ],
        "days_without_rows": _gaps(progress),
        "corrupt": corrupt_files(progress),
        "failed": {task.id: reason for task, reason in progress.failures.items()},
        "blocked": progress.blocked,
        "built": progress.built,
        "downloaded_bytes": progress.downloaded,
        "retried_errors": dict(progress.retried_errors),
        "seconds": round(seconds, 3),
        "tables": [
            {
                "path": table.path,
                "rows": table.rows,
                "columns": table.columns,
                "symbols": table.symbols,
                "written": table.written,
                "left_out": dict(table.left_out),
            }
            for table in tables or ()
        ],
    }


def _why_none(settings: RunSettings, progress: RunProgress) -> str:
    if progress.failures:
        return "tasks failed. The same command goes on from here; an older table is unchanged."
    if settings.market is not Market.UM:
        return f"{settings.market} ends at the 1-minute and hourly layers."
    return f"no symbol has a 1m kline in {settings.span.start}..{settings.span.end}."


def _absent(progress: RunProgress) -> Iterator[str]:
    """`type month: symbols` of every month that the source has nothing of."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for task, outcome in progress.outcomes.items():
        for month in outcome.absent_parts:
            groups[f"{task.type}", month].append(task.symbol)
    for (name, month), symbols in groups.items():
        yield f"{name} {month}: {', '.join(symbols)}"


def _failures(progress: RunProgress) -> list[str]:
    return [f"{task.id}: {reason}" for task, reason in progress.failures.items()]


def _gaps(progress: RunProgress) -> list[str]:
    return [
        f"{task.type} {task.symbol}: {', '.join(outcome.gaps)}"
        for task, outcome in progress.outcomes.items()
        if outcome.gaps
    ]


def _print_some(title: str, lines: list[str]) -> None:
    if not lines:
        return
    print(f"\n{title}:")
    for line in lines[:_LINES]:
        print(f"  {line}")
    if len(lines) > _LINES:
        print(f"  … and {len(lines) - _LINES:,} more")
