"""The commands about archive files: their options and their help."""

from __future__ import annotations

from alphaqcm.data_collection.commands.command import Command
from alphaqcm.data_collection.commands.grammar import values
from alphaqcm.data_collection.commands.options import (
    CHOSEN,
    DATA_ROOT,
    DAYS,
    FETCHING,
    FROM_SOURCE_OF_ROOT,
    JSON,
    MARKET,
    REFRESH,
    TEMP_DIR,
    TYPES,
    Option,
    switch,
)

SELECTION = (*CHOSEN, TYPES, *DAYS, MARKET, *FROM_SOURCE_OF_ROOT, DATA_ROOT)

FETCH_COMMAND = Command(
    "fetch",
    "data.fetch",
    "download and verify archive files into the cache",
    """Download and verify archive files into the cache of a data root.

What is there and unchanged at the source is not asked for again; a stopped download goes on where
it stopped. Several fetches and workers may share a data root.""",
    (*SELECTION, TEMP_DIR, *FETCHING, JSON),
    (
        "--symbols BTCUSDT --types klines:1m,metrics --start 2024-01-01 --end 2024-12-31",
        "--symbols-file top100_perp_symbols.txt --start -30d --end yesterday --rate-limit 20M",
    ),
)

COMMANDS = (
    Command(
        "symbols",
        "data.symbols",
        "the universe a market ever had, with first and last date",
        """List the symbols a market ever had at the archive, with their first and last date.

Delisted contracts stay in the archive, so this is the survivorship-safe universe. Without
--include-delisted or --alive-on, only symbols whose files reach the archive's newest days. The
dates tell when files begin and end: some contracts have empty minutes long after their
delisting.""",
        (
            MARKET,
            Option("--type", "the data type whose files count", default="klines:1m", metavar="T"),
            Option("--quote", "only symbols quoted in Q, such as USDT", metavar="Q"),
            Option("--alive-on", "only symbols with files around that day; written as --start is",
                   values.day, metavar="D"),
            switch("--include-delisted", "also those that ended long ago"),
            Option("--write", "write a symbols file", values.path, metavar="F"),
            JSON,
            *FROM_SOURCE_OF_ROOT,
            DATA_ROOT,
            REFRESH,
        ),
        ("--quote USDT --write usdt.txt", "--alive-on 2022-05-02 --json"),
        answers=True,
    ),
    Command(
        "plan",
        "data.plan",
        "what a download would keep, fetch, replace and find absent",
        """Show what a download would keep, fetch, replace and find absent, and its bytes.

Nothing is downloaded but listings; those listed within the last day are taken as they are.""",
        (*SELECTION, REFRESH, JSON.but(help="every file, for programs")),
        (
            "--symbols BTCUSDT --start 2024-01-01 --end 2024-12-31",
            "--symbols-file top100_perp_symbols.txt --start -30d --end yesterday --json plan.json",
        ),
        answers=True,
    ),
    FETCH_COMMAND,
    Command(
        "ledger",
        "data.ledger",
        "what is known of every archive file",
        """Show what is known of archive files: state, size, checksums, rows, times, last seen.

States: ok (verified, in the cache), absent (not at the source when last seen), corrupt (at the
source, but broken there), hole (a day without rows in any file of the archive).""",
        (
            Option("--state", "only this state", choices=("ok", "absent", "corrupt", "hole")),
            Option("--match", "only keys like this, such as '*/BTCUSDT-1m-*'", default="*",
                   metavar="GLOB"),
            JSON.but(help="every field, one record a line"),
            DATA_ROOT,
        ),
        ("--state corrupt", "--match '*/BTCUSDT-1m-*' --json"),
        answers=True,
    ),
    Command(
        "verify",
        "data.verify",
        "compare ledger, disk, listing and published checksums; repair",
        """Compare the cache with its ledger, the source's listing and its published checksums.

Names files that are gone or changed on the disk, replaced or removed at the source, and unfinished
downloads. --deep reads every byte and every .CHECKSUM again and so finds bit rot. --repair fetches
what is wrong anew; layers that were made from it rebuild with the next run. The source asked is
that of the data root's last run or fetch, unless --source names another; the command says
which.""",
        (
            switch("--deep", "read all bytes and checksums again"),
            switch("--repair", "fetch what is wrong anew"),
            TEMP_DIR,
            *FROM_SOURCE_OF_ROOT,
            DATA_ROOT,
            *FETCHING,
            JSON,
        ),
        ("--deep", "--deep --repair --json verify.json"),
    ),
)  # fmt: skip
