"""Compares the cache with its ledger, the source and its checksums, and layers with themselves."""

from __future__ import annotations

import argparse
from pathlib import Path

from alphaqcm.data_collection.archive.adoption import adopt_cache
from alphaqcm.data_collection.archive.cache_audit import AuditFinding, Problem, audit, repair
from alphaqcm.data_collection.build.repair import damaged_by_market, heal
from alphaqcm.data_collection.commands.exit_codes import ExitCode
from alphaqcm.data_collection.commands.grammar.places import source_layout
from alphaqcm.data_collection.commands.output import Answer, tell
from alphaqcm.data_collection.commands.request import fetch_options, open_source
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.process.root_lock import hold_root, require_folder
from alphaqcm.pipeline.storage.layout import Layout


def run(arguments: argparse.Namespace) -> Answer:
    """Verify; 0 when nothing is wrong, or all of it was mended."""
    layout = source_layout(arguments)
    if arguments.store and arguments.repair:
        raise UsageError(
            "--repair", expected="a data root on a disk", next_step="alphaqcm run mends this one"
        )
    require_folder(layout.root)
    require_folder(layout.cache, "the archive files of a data root")
    adopt_cache(layout, tell)
    with (
        hold_root(layout.temp, exclusive=False),
        open_source(arguments, fetch_options(arguments)) as archive,
    ):
        findings = list(audit(archive, deep=arguments.deep))
        if arguments.store:  # it keeps no ZIPs but those of --keep-zips
            findings = [one for one in findings if one.problem is not Problem.GONE]
        damaged = damaged_by_market(layout.root) if arguments.deep else {}
        in_archive = len(findings)
        findings += [_finding(layout, path) for paths in damaged.values() for path in paths]
        _print(findings)
        if not arguments.repair or not findings:
            print(
                f"problems: {len(findings):,}" + ("" if arguments.deep else "; --deep reads bytes")
            )
            return _answer(findings, findings, mended=False)
        left = repair(archive, findings[:in_archive])
    if damaged:
        with hold_root(layout.temp, exclusive=True) as lock:
            still = heal(layout.root.resolve(), damaged, 1, lock)
        left += [_finding(layout, path) for path in still]
    print(f"{len(findings) - len(left):,} mended, {len(left):,} left")
    for finding in left:
        print(f"  left: {finding.key}: {finding.problem}")
    return _answer(findings, left, mended=True)


def _finding(layout: Layout, path: Path) -> AuditFinding:
    """A file of a layer, a table or the state whose bytes are not those that were written."""
    inside = path.is_relative_to(layout.root.resolve()) or path.is_relative_to(layout.root)
    root = layout.root if path.is_relative_to(layout.root) else layout.root.resolve()
    key = path.relative_to(root).as_posix() if inside else str(path)
    return AuditFinding(key, Problem.CHANGED, "its own digest does not hold")


def _answer(found: list[AuditFinding], left: list[AuditFinding], *, mended: bool) -> Answer:
    code = ExitCode.FAILED if left else ExitCode.DONE
    problems = [
        {
            "key": one.key,
            "problem": str(one.problem),
            "detail": one.detail,
            "mended": mended and one not in left,
        }
        for one in found
    ]
    return Answer(code, {"exit_code": int(code), "problems": problems})


def _print(findings: list[AuditFinding]) -> None:
    for finding in findings:
        print(f"{finding.problem}: {finding.key} ({finding.detail})")
