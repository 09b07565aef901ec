"""What a fetch is about: markets, symbols, time; held against what the exchange tells."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from alphaqcm.data_collection.build.candles.spans import Stretch, text
from alphaqcm.data_collection.build.candles.store import is_file_name
from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.exchange.answers import SymbolInfo
from alphaqcm.data_collection.exchange.endpoints import PERPETUAL
from alphaqcm.data_collection.exchange.fetcher import final_end
from alphaqcm.pipeline.domain.registry import INTERVALS, Market, parse_market
from alphaqcm.pipeline.errors import BadName

_DAY_MS = 86_400_000
_FEW = 5


@dataclass(frozen=True, slots=True)
class CandleRequest:
    """The words of a fetch."""

    markets: tuple[Market, ...]
    quote: str
    interval: str
    days: int | None
    start: str | None
    end: str | None
    symbols: tuple[str, ...] = ()  # exchange names; empty: every traded symbol


def parse_markets(words: str) -> tuple[Market, ...]:
    """A comma list of markets; raises `BadName`."""
    return tuple(dict.fromkeys(parse_market(word.strip()) for word in words.split(",")))


def parse_kline_interval(word: str) -> str:
    """An interval that the exchange has; raises `BadName`."""
    if word not in INTERVALS:
        raise BadName(f"interval {word!r}", expected="one of " + ", ".join(INTERVALS))
    return word


def parse_moment(word: str, option: str) -> int:
    """A date or an ISO instant (UTC where it does not say) in milliseconds; raises `UsageError`."""
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", word.strip()))
    except ValueError:
        raise UsageError(
            f"{option} {word}",
            expected="a date or an ISO instant, such as 2024-02-29 or 2024-02-29T12:00:00Z",
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def resolve_range(request: CandleRequest, now_ms: int, interval_ms: int) -> Stretch:
    """[start, end) by the candle's begin, ended by the last final candle; raises `UsageError`."""
    newest = final_end(now_ms, interval_ms)
    end = newest if request.end is None else parse_moment(request.end, "--end")
    if request.start is not None:
        start = parse_moment(request.start, "--start")
    else:
        start = min(end, newest) - (request.days or 15) * _DAY_MS
    start = -(-start // interval_ms) * interval_ms
    if start >= newest:
        raise UsageError(
            f"--start {text(start)}",
            expected=f"a start before the last finished candle ({text(newest)})",
            found="a range in the future",
        )
    if start >= end:
        raise UsageError(
            f"--start {text(start)} --end {text(end)}", expected="a start before the end"
        )
    return start, min(-(-end // interval_ms) * interval_ms, newest)


def choose_symbols(
    infos: dict[Market, list[SymbolInfo]], request: CandleRequest
) -> dict[Market, list[SymbolInfo]]:
    """Each market's symbols in order: those that are named, or all that trade in the quote asset.

    Of futures only perpetual contracts, unless named. A name that cannot be a file's is none.
    Raises `UsageError` for names that no market knows, and for a quote asset nothing trades in.
    """
    if not request.symbols:
        chosen = {
            market: sorted(
                (one for one in known if _is_wanted(one, request.quote)),
                key=lambda one: one.symbol,
            )
            for market, known in infos.items()
        }
        if not any(chosen.values()):
            quotes = Counter(one.quoteAsset for known in infos.values() for one in known)
            most = ", ".join(quote for quote, _ in quotes.most_common(_FEW))
            raise UsageError(
                f"--quote {request.quote}",
                expected="a quote asset that symbols of " + ", ".join(infos) + " trade in",
                found="no symbol" + (f"; most have {most}" if most else ""),
                next_step="pass another --quote (coin-margined contracts have USD)",
            )
        return chosen
    infos = {
        market: [one for one in known if is_file_name(one.symbol)]
        for market, known in infos.items()
    }
    every = {one.symbol for known in infos.values() for one in known}
    unknown = [name for name in request.symbols if name not in every]
    if unknown:
        near = [
            name
            for missing in unknown[:_FEW]
            for name in difflib.get_close_matches(missing, sorted(every), 2)
        ]
        more = "" if len(unknown) <= _FEW else f" and {len(unknown) - _FEW} more"
        raise UsageError(
            "symbols " + ", ".join(unknown[:_FEW]) + more,
            expected="symbols that the exchange knows in " + ", ".join(infos),
            found="none of these names" + (f"; near: {', '.join(near)}" if near else ""),
            next_step="correct the names, or pass the --market they belong to",
        )
    wanted = set(request.symbols)
    return {
        market: sorted((one for one in known if one.symbol in wanted), key=lambda one: one.symbol)
        for market, known in infos.items()
    }


def _is_wanted(info: SymbolInfo, quote: str) -> bool:
    return (
        info.quoteAsset == quote
        and info.state == "TRADING"
        and info.contractType in ("", PERPETUAL)
        and is_file_name(info.symbol)
    )


def clip_to_listing(
    infos: list[SymbolInfo], span: Stretch, interval_ms: int
) -> tuple[list[tuple[str, Stretch]], list[str]]:
    """Each symbol's part of the range from its listing on, and the symbols that have none."""
    spans, later = [], []
    for info in infos:
        listed = -(-info.onboardDate // interval_ms) * interval_ms
        begin = max(span[0], listed)
        if begin < span[1]:
            spans.append((info.symbol, (begin, span[1])))
        else:
            later.append(info.symbol)
    return spans, later
