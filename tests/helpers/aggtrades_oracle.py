"""aggTrades to minutes by other means: a line at a time, Python's Decimal, no project code.

Also makers of such files: rows, texts and what can be done to them.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from alphaqcm.pipeline.domain.archive_file import ArchiveFile, Series
from alphaqcm.pipeline.domain.registry import DataType, Market
from alphaqcm.pipeline.reading.aggtrades import AggMinutes, aggregate_file
from tests.helpers.zips import write_zip

MINUTE_US = 60_000_000
SUMS = (
    "base_volume",
    "quote_volume",
    "taker_buy_qty",
    "taker_sell_qty",
    "taker_buy_quote",
    "taker_sell_quote",
    "taker_buy_quote_sq",
    "taker_sell_quote_sq",
    "whale_buy_quote",
    "whale_sell_quote",
    "retail_buy_quote",
    "retail_sell_quote",
)
HEADER = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
    ",is_best_match"
)


class Rejected(Exception):
    """The text is no aggTrades file."""


@dataclass(frozen=True)
class Expected:
    minutes: dict[int, dict[str, Any]]
    counters: dict[str, int]


Row = tuple[int, int, int, int, Decimal, Decimal, bool, bool]
# time in us, id, first, last trade id (they order rows that share time and id), price, quantity, …


def expect(
    text: bytes, file: ArchiveFile, whale: float = 50_000, retail: float = 1_000
) -> Expected:
    """The minutes and counters of a CSV; raises `Rejected` where an error is due."""
    rows = _rows(text, file.series.market is Market.SPOT)
    start, end = file.period.start_us, file.period.end_us
    inside = [row for row in rows if start <= row[0] < end]
    outside = len(rows) - len(inside)
    if outside > len(rows) * 0.01:
        raise Rejected("period")
    # equal in every field, numbers as the doubles they are read to
    kept = sorted(
        {(*row[:4], float(row[4]), float(row[5]), *row[6:]): row for row in inside}.values()
    )
    by_minute: dict[int, list[Row]] = defaultdict(list)
    for row in kept:
        by_minute[row[0] // MINUTE_US * MINUTE_US].append(row)
    ids = sorted({row[1] for row in kept})
    gaps = [after - before - 1 for before, after in pairwise(ids) if after - before > 1]
    rises = all(before[1] < after[1] and before[0] <= after[0] for before, after in pairwise(rows))
    return Expected(
        {
            minute: _minute(trades, whale, retail, _contract(file))
            for minute, trades in by_minute.items()
        },
        {
            "rows": len(rows),
            "outside_period": outside,
            "duplicates": len(inside) - len(kept),
            "out_of_order": sum(after[:2] < before[:2] for before, after in pairwise(rows)),
            "zero_quantities": sum(row[5] == 0 for row in kept),
            "shared_ids": len(kept) - len(ids),
            "id_gaps": len(gaps),
            "single_skips": gaps.count(1),
            "missing_ids": sum(gaps),
            "largest_gap": max(gaps, default=0),
            "sorted_files": int(not rises),
        },
    )


def _rows(text: bytes, spot: bool) -> list[Row]:
    width = 8 if spot else 7
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if lines and not lines[0].lstrip(b'"')[:1].isdigit():
        line = b",".join(unquoted(name) for name in lines.pop(0).removesuffix(b"\r").split(b","))
        names = line.decode("utf-8", "replace")
        known = [",".join(HEADER.split(",")[:n]) for n in ((7, 8) if spot else (7,))]
        if names not in known:
            raise Rejected("header")
        width = names.count(",") + 1
    return [_row(line, width) for line in lines]


def unquoted(field: bytes) -> bytes:
    quoted = len(field) > 1 and field.startswith(b'"') and field.endswith(b'"')
    return field[1:-1] if quoted else field


def _row(line: bytes, width: int) -> Row:
    fields = line.removesuffix(b"\r").split(b",")
    if len(fields) != width or len(line) > 1024:
        raise Rejected("fields")
    number, price, quantity, first, last, time, *flags = map(unquoted, fields)
    for whole in (number, first, last, time):
        if not re.fullmatch(rb"\d{1,16}" if whole is time else rb"-?\d{1,16}", whole):
            raise Rejected("whole number")
    for decimal in (price, quantity):
        if len(decimal) > 100 or not re.fullmatch(
            rb"\d+(\.\d+)?([eE][+-]?\d{1,3})?", decimal, re.ASCII
        ):
            raise Rejected("decimal")
        if float(decimal) >= 1e38:
            raise Rejected("too large")
        if float(decimal) == 0 != Decimal(decimal.decode()):
            raise Rejected("too small for a double")
    if any(flag.lower() not in (b"true", b"false") for flag in flags) or any(
        flag not in (flag.lower(), flag.upper(), flag.title()) for flag in flags
    ):
        raise Rejected("boolean")
    if not 0 <= int(last) - int(first) < 10**9:
        raise Rejected("trade ids")
    epoch = int(time)
    maker, *best = [flag.lower() == b"true" for flag in flags]
    return (
        epoch if epoch >= 10**14 else epoch * 1000,
        int(number),
        int(first),
        int(last),
        Decimal(price.decode()),
        Decimal(quantity.decode()),
        maker,
        best[0] if best else False,
    )


def _contract(file: ArchiveFile) -> float | None:
    if file.series.market is not Market.CM:
        return None
    return 100.0 if file.series.symbol.startswith("BTCUSD_") else 10.0


def _minute(
    trades: list[Row], whale: float, retail: float, contract: float | None
) -> dict[str, Any]:
    prices = [float(row[4]) for row in trades]
    sums = dict.fromkeys(SUMS, Decimal())
    with localcontext(prec=60):
        for row, price in zip(trades, prices, strict=True):
            side = "sell" if row[6] else "buy"
            product = price * float(row[5])
            base = row[5]
            if contract is not None:
                product = float(row[5]) * contract
                base = Decimal(product / price if price else 0.0)
            amount = Decimal(product)
            sums["base_volume"] += base
            sums["quote_volume"] += amount
            sums[f"taker_{side}_qty"] += base
            sums[f"taker_{side}_quote"] += amount
            sums[f"taker_{side}_quote_sq"] += Decimal(product * product)
            if product >= whale:
                sums[f"whale_{side}_quote"] += amount
            if product <= retail:
                sums[f"retail_{side}_quote"] += amount
    sells = sum(row[6] for row in trades)
    return {
        "trade_count": len(trades),
        **sums,
        "taker_buy_trade_count": len(trades) - sells,
        "taker_sell_trade_count": sells,
        "first_ts": trades[0][0],
        "price_first": prices[0],
        "last_ts": trades[-1][0],
        "price_last": prices[-1],
        "price_high": max(prices),
        "price_low": min(prices),
        "first_agg_trade_id": trades[0][1],
        "last_agg_trade_id": trades[-1][1],
        "raw_trade_count": sum(row[3] - row[2] + 1 for row in trades),
    }


def differences(result: AggMinutes, expected: Expected) -> list[str]:
    """Where `result` is not what it should be: exactly, sums to 1e-12 of their size."""
    wrong = [
        f"{name}: {value} not {expected.counters[name]}"
        for name, value in result.counters.to_dict().items()
        if value != expected.counters[name]
    ]
    times = [name for name, kind in result.frame.schema.items() if kind == pl.Datetime("us", "UTC")]
    found = {
        row.pop("minute"): row
        for row in result.frame.with_columns(pl.col(times).to_physical()).to_dicts()
    }
    if list(found) != sorted(expected.minutes):
        wrong.append("other minutes")
    for minute, values in expected.minutes.items():
        for name, value in values.items():
            mine = found.get(minute, {}).get(name)
            near = (
                mine is not None and abs(Decimal(mine) - value) <= Decimal("1e-12") * abs(value)
                if name in SUMS
                else mine == value
            )
            if not near:
                wrong.append(f"{minute} {name}: {mine} not {value}")
    return wrong


def trades_file(market: Market = Market.UM, stamp: str = "2024-02-28") -> ArchiveFile:
    """An aggTrades file's name."""
    series = Series(market, DataType.AGGTRADES, "BTCUSD_PERP" if market is Market.CM else "BTCUSDT")
    return ArchiveFile.from_name(f"{series.symbol}-aggTrades-{stamp}.zip", market)


def make_lines(
    file: ArchiveFile, count: int, seed: int = 1, unit_us: int = 1000, step_us: int = 700_000
) -> list[str]:
    """Rows in order, with the decimals and bursts of real files."""
    rng = random.Random(seed)
    time, number, trade = file.period.start_us + 1_000, rng.randrange(10**10), rng.randrange(10**10)
    spot = file.series.market is Market.SPOT
    lines = []
    for _ in range(count):
        time = min(
            time + rng.choice((0, 0, unit_us, rng.randrange(step_us))), file.period.end_us - 1
        )
        number += 1
        first, trade = trade + 1, trade + 1 + rng.choice((0, 0, 1, 7))
        price = f"{rng.uniform(0.01, 70_000):.{8 if spot else rng.randrange(1, 3)}f}"
        quantity = f"{rng.lognormvariate(-3, 3):.{8 if spot else 3}f}"
        fields = [number, price, quantity, first, trade, time // unit_us]
        flags = [rng.choice(("True", "False") if spot else ("true", "false"))]
        lines.append(",".join(map(str, [*fields, *flags, *(["True"] if spot else [])])))
    return lines


def as_text(lines: Sequence[str], end: str = "\n", header: str = "") -> bytes:
    return "".join(line + end for line in ([header] if header else []) + list(lines)).encode()


_BITS = (b"", b",", b"\n", b"\r\n", b".", b"-", b"e5", b"E-7", b"\0", b"0", b"9", b"1" * 20)
_BITS += (b"\xff", b" ", b'"', b"true", b"nan", b"inf", b"7" * 400, b"0" * 30, b"\xef\xbb\xbf")


def _put(text: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_BITS) + text[at + rng.choice((0, 0, 1, 3)) :]


def _flip(text: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(text)) if text else 0
    return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]


def _digit(text: bytes, rng: random.Random) -> bytes:
    places = [at for at, byte in enumerate(text) if chr(byte).isdigit()]
    at = rng.choice(places) if places else 0
    return text[:at] + rng.choice(b"0123456789").to_bytes(1, "little") + text[at + 1 :]


def _cut(text: bytes, rng: random.Random) -> bytes:
    return text[: rng.randrange(len(text) + 1)]


def _swap_lines(text: bytes, rng: random.Random) -> bytes:
    lines = text.splitlines(keepends=True)
    if len(lines) > 2:
        a, b = rng.randrange(1, len(lines)), rng.randrange(1, len(lines))
        lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def _double_line(text: bytes, rng: random.Random) -> bytes:
    lines = text.splitlines(keepends=True)
    if len(lines) > 1:
        line = lines[rng.randrange(1, len(lines))]
        lines.insert(rng.randrange(1, len(lines) + 1), line)
    return b"".join(lines)


def _drop_line(text: bytes, rng: random.Random) -> bytes:
    lines = text.splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    return b"".join(lines)


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _put,
    _flip,
    _digit,
    _digit,
    _cut,
    _swap_lines,
    _double_line,
    _drop_line,
)


def mutate(text: bytes, rng: random.Random) -> bytes:
    """`text` with one to three things done to it."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        text = rng.choice(MUTATIONS)(text, rng)
    return text


def check(folder: Path, file: ArchiveFile, text: bytes) -> AggMinutes:
    """Read `text` as `file` and hold it against the exact reading."""
    result = aggregate_file(write_zip(folder, file, text), file)
    assert not differences(result, expect(text, file))
    return result
