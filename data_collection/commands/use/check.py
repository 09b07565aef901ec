"""Looks for what is missing, doubled, impossible or leaking in the layers and the table."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime

from alphaqcm._version import __version__
from alphaqcm.data_collection.build.last_run import load_settings
from alphaqcm.data_collection.build.manifest import Verdict, add_verdict, library_versions
from alphaqcm.data_collection.build.settings import RunSettings
from alphaqcm.data_collection.build.update.change_index import on_disk
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.output import Answer
from alphaqcm.data_collection.commands.universe import chosen_symbols
from alphaqcm.data_collection.errors import RootBusy, UsageError
from alphaqcm.data_collection.extras import Extra, require_extra
from alphaqcm.data_collection.process.root_lock import hold_root
from alphaqcm.data_collection.reporting.quality.build_report import failing, gather
from alphaqcm.data_collection.reporting.quality.console import screen
from alphaqcm.data_collection.reporting.quality.model import Provenance, Report
from alphaqcm.data_collection.reporting.text import counted
from alphaqcm.pipeline.checks.finding import Severity
from alphaqcm.pipeline.domain.registry import parse_market
from alphaqcm.pipeline.errors import LayerError
from alphaqcm.pipeline.storage.atomic_write import write_bytes
from alphaqcm.pipeline.storage.checksum import sha256_of


def run(arguments: argparse.Namespace) -> Answer:
    """Check; 1 only where --strict asks for it."""
    severities = _severities(arguments.strict)
    if arguments.html:
        require_extra("matplotlib", Extra.REPORT)  # before the work, not after it
    temp, market = arguments.data_root.resolve() / "_tmp", parse_market(arguments.market)
    settings = _chosen(load_settings(temp, market), arguments)
    table = settings.layout.final_table()
    seen = on_disk(table)
    provenance = Provenance(
        command="alphaqcm " + " ".join(sys.argv[1:]),
        versions={"alphaqcm": __version__, **library_versions()},
        source=settings.source,
        inputs=0,
        inputs_sha256="",
        by_series={},
        table_sha256=sha256_of(table) if any(seen) else "",
    )
    report = gather(settings, provenance, _now(), deep=arguments.deep)
    if arguments.html:
        from alphaqcm.data_collection.reporting.quality.page import render  # draws with matplotlib

        write_bytes(arguments.html, render(report).encode())
    if settings.symbols == load_settings(temp, market).symbols and any(seen):
        _keep_verdict(settings, seen, report)
    _print(report)
    code = ExitCode.FAILED if failing(report, severities) else ExitCode.DONE
    return Answer(code, report.to_dict())


def _keep_verdict(settings: RunSettings, seen: tuple[int, int], report: Report) -> None:
    """Write the verdict beside the table, where it is still the one that was looked at."""
    table = settings.layout.final_table()
    verdict = Verdict(report.verdict, report.counts, report.created_at)
    try:
        with hold_root(settings.layout.temp, exclusive=True):  # no new table meanwhile
            if on_disk(table) == seen:
                add_verdict(table, report.provenance.table_sha256, verdict)
            else:
                print("the verdict is not kept beside the table: it was replaced meanwhile")
    except (RootBusy, LayerError) as error:
        print(f"the verdict is not kept beside the table: {error}")


def _severities(text: str | None) -> tuple[Severity, ...]:
    names = [] if text is None else [name.strip() for name in text.split(",")]
    known = [severity.value for severity in Severity]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"--strict {', '.join(unknown)}", expected="severities: " + ", ".join(known)
        )
    return tuple(map(Severity, names))


def _chosen(settings: RunSettings, arguments: argparse.Namespace) -> RunSettings:
    if arguments.symbols is None and arguments.symbols_file is None:
        return settings
    names = tuple(symbol.exchange for symbol in chosen_symbols(arguments, settings.market))
    if unknown := set(names) - set(settings.symbols):
        raise UsageError(
            "symbols " + ", ".join(sorted(unknown)),
            expected="symbols of the last run in this data root",
            next_step="alphaqcm run with them first",
        )
    return replace(settings, symbols=names)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _print(report: Report) -> None:
    size = shutil.get_terminal_size()
    lines = screen(report.findings, size.lines, size.columns if sys.stdout.isatty() else None)
    for line in lines:
        print(line)
    print(
        ("" if not lines else "\n")
        + f"{report.verdict}: "
        + ", ".join(f"{count} {name}" for name, count in report.counts.items())
        + f"; {counted(len(report.symbols), 'symbol')}, {report.start} to {report.end}"
    )
