"""Compare the cache with its ledger, the source's listing and its published checksums.

Names files that are gone or changed on the disk, replaced or removed at the source, and unfinished
downloads. --deep reads every byte and every .CHECKSUM again and so finds bit rot. --repair fetches
what is wrong anew; layers that were made from it rebuild with the next run. The source asked is
that of the data root's last run or fetch, unless --source names another; the command says which.
"""

from __future__ import annotations

import argparse

from alphaqcm.data_collection.archive.audit import AuditFinding, audit, repair
from alphaqcm.data_collection.commands.fetch_options import (
    add_fetch_options,
    fetch_options,
    open_source,
)
from alphaqcm.data_collection.commands.options import add_root_option, add_source_options
from alphaqcm.data_collection.process.root_lock import hold_root, require_folder
from alphaqcm.pipeline.storage.layout import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--deep", action="store_true", help="read all bytes and checksums again")
    parser.add_argument("--repair", action="store_true", help="fetch what is wrong anew")
    add_source_options(parser, of_root=True)
    add_root_option(parser)
    add_fetch_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify; 0 when nothing is wrong, or all of it was mended."""
    layout = Layout(arguments.data_root)
    require_folder(layout.root)
    require_folder(layout.cache, "the archive files of a data root")
    with (
        hold_root(layout.temp, exclusive=False),
        open_source(arguments, fetch_options(arguments)) as archive,
    ):
        findings = list(audit(archive, deep=arguments.deep))
        _print(findings)
        if not arguments.repair or not findings:
            print(
                f"problems: {len(findings):,}" + ("" if arguments.deep else "; --deep reads bytes")
            )
            return 1 if findings else 0
        left = repair(archive, findings)
    print(f"{len(findings) - len(left):,} mended, {len(left):,} left")
    for finding in left:
        print(f"  left: {finding.key}: {finding.problem}")
    return 1 if left else 0


def _print(findings: list[AuditFinding]) -> None:
    for finding in findings:
        print(f"{finding.problem}: {finding.key} ({finding.detail})")
