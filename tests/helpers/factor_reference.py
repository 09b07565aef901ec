"""The definitions of docs/columns.md, word by word, in slow and obvious NumPy.

Nothing is shared with the code under test. Each value comes with a scale: what its rounding errors
are in proportion to. Where positive and negative terms cancel, that is the size of the terms.
Logarithms are the C library's: NumPy's vectorised one may differ from it in the last bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

EPS = 1e-12
Value = tuple[float | None, float]
Row = dict[str, float]


def plain(value: float | None) -> Value:
    return value, 0.0 if value is None else abs(value)


def std(values: Sequence[float], ddof: int = 0) -> float:
    if max(values) == min(values):
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - ddof))


def log_returns(closes: Sequence[float]) -> list[float]:
    y = [math.log(max(c, EPS)) for c in closes]
    return [0.0] + [b - a for a, b in itertools.pairwise(y)]


def line(values: Sequence[float]) -> tuple[float | None, float | None]:
    """60 * slope and R2."""
    n = len(values)
    if n < 3:
        return None, None
    y = np.array([math.log(max(v, EPS)) for v in values])
    if y.max() == y.min():
        return 0.0, 0.0
    x = np.arange(n, dtype=float)
    dx, dy = x - x.mean(), y - math.fsum(y) / n
    slope = math.fsum(dx * dy) / math.fsum(dx * dx)
    left = math.fsum((dy - slope * dx) ** 2)
    r2 = 1.0 - left / math.fsum(dy * dy)
    return 60.0 * slope, min(1.0, max(0.0, r2))


def moments(x: Sequence[float]) -> tuple[float | None, float | None]:
    """Bias-corrected skewness and excess kurtosis."""
    if max(x) == min(x):
        return None, None
    n = len(x)
    mean = math.fsum(x) / n
    s2, s3, s4 = (math.fsum((v - mean) ** k for v in x) for k in (2, 3, 4))
    skew = n * math.sqrt(n - 1) / (n - 2) * s3 / s2**1.5
    first = n * (n + 1) * (n - 1) / ((n - 2) * (n - 3)) * s4 / s2**2
    return skew, first - 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))


def pearson(a: Sequence[float], b: Sequence[float], enough: bool) -> float | None:
    if not enough or len(a) < 10 or max(a) == min(a) or max(b) == min(b):
        return None
    da = np.array(a) - math.fsum(a) / len(a)
    db = np.array(b) - math.fsum(b) / len(b)
    both = math.sqrt(math.fsum(da * da)) * math.sqrt(math.fsum(db * db))
    return min(1.0, max(-1.0, math.fsum(da * db) / both))


def ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or below is None or below == 0 else above / below


def hour_reference(rows: list[Row]) -> dict[str, Value]:
    """Everything one hour tells; `rows` have minute, o, h, l, c, v, in order of time."""
    out: dict[str, Value] = {}
    c, v = [r["c"] for r in rows], [r["v"] for r in rows]
    total = math.fsum(v)
    out["open"] = plain(rows[0]["o"])
    out["high"] = plain(max(r["h"] for r in rows))
    out["low"] = plain(min(r["l"] for r in rows))
    out["close"] = plain(c[-1])
    out["volume"] = plain(total)
    paid = math.fsum((r["h"] + r["l"] + r["c"]) / 3 * r["v"] for r in rows)
    out["vwap"] = plain(paid / total if total else None)

    before_45 = [r for r in rows if r["minute"] < 45]
    head = tail = None
    size = 1.0
    if before_45:
        head = math.log(before_45[-1]["c"] + EPS) - math.log(rows[0]["o"] + EPS)
        tail = math.log(c[-1] + EPS) - math.log(before_45[-1]["c"] + EPS)
        if rows[-1]["minute"] < 45:
            tail = 0.0
        size = max(abs(head), abs(tail))
    out["seg_head_logret"], out["seg_tail_logret"] = plain(head), plain(tail)
    out["seg_tail_minus_head"] = (None if head is None else tail - head, size)
    whole = None if head is None else head + tail
    share = ratio(tail, whole)
    out["seg_tail_share"] = (share, 0 if share is None else abs(share) * max(1, size / abs(whole)))

    r = log_returns(c)
    q80 = np.quantile(np.array(v), 0.8)
    busy = [i for i in range(len(v)) if v[i] >= q80]
    out["vol_top20_frac"] = plain(len(busy) / len(v))
    out["vol_top20_logret_sum"] = (
        math.fsum(r[i] for i in busy),
        math.fsum(abs(r[i]) for i in busy),
    )
    terms = [r[i] / max(v[i] * c[i], EPS) for i in range(len(v))]
    out["amihud_signed"] = (math.fsum(terms), math.fsum(map(abs, terms)))
    out["amihud_abs"] = plain(math.fsum(map(abs, terms)))
    for name, letter in (("close", "c"), ("high", "h"), ("low", "l")):
        prices = [row[letter] for row in rows]
        beta, r2 = line(prices)
        spread = std([math.log(max(p, EPS)) for p in prices])
        out[f"qrs_beta_{name}_per_hour"] = (beta, spread)
        out[f"qrs_r2_{name}"] = (r2, 1.0)
        out[f"qrs_{name}"] = (None if beta is None else beta * r2, spread)
    return out | kept_reference(rows)


def kept_reference(rows: list[Row]) -> dict[str, Value]:
    """Everything that is measured over the kept rows."""
    out: dict[str, Value] = {"n_minutes": plain(len(rows))}
    ratios = [r["h"] / max(r["l"], EPS) for r in rows]
    kept = [r for r, q in zip(rows, ratios, strict=True) if 0 < q <= 1.2 and r["c"] > 0]
    if len(kept) < 10:
        kept = [r for r in rows if r["c"] > 0 and r["l"] > 0]
    n = len(kept)
    out["n_minutes_kept"] = plain(n)
    out["n_minutes_traded"] = plain(sum(1 for r in rows if r["v"] > 0))
    out["min_range_ratio_max"] = plain(max(ratios))
    if n == 0:
        return out
    h, low, c, v, minute = ([r[k] for r in kept] for k in ("h", "l", "c", "v", "minute"))
    r = log_returns(c)
    total = math.fsum(v)
    mean = total / n
    squares = [x * x for x in r]
    out["vol_1m_mean"] = plain(mean)
    out["vol_1m_std"] = plain(std(v))
    out["vol_1m_cv"] = plain(std(v) / (mean + EPS))
    q = [a / max(b, EPS) for a, b in zip(h, low, strict=True)]
    out["range_ratio_1m_std"] = (std(q), 1e-3 * max(q))
    out["log_range_1m_std"] = (std([math.log(max(x, EPS)) for x in q]), 1e-3)
    up = math.fsum(s for s, x in zip(squares, r, strict=True) if x > 0)
    down = math.fsum(s for s, x in zip(squares, r, strict=True) if x < 0)
    out["up_vol_l2"], out["down_vol_l2"] = plain(math.sqrt(up)), plain(math.sqrt(down))
    out["up_var_share"] = plain(ratio(up, up + down))
    out["down_var_share"] = plain(ratio(down, up + down))
    realized = std(r) * math.sqrt(60)
    out["rv_std_sqrt60"] = plain(realized)
    out["rv_l2"] = plain(math.sqrt(math.fsum(squares)))
    out["rv_per_vol"] = plain(realized / (mean + EPS))
    if n >= 10:
        for suffix, (skew, kurt) in (
            ("", moments(r[1:])),
            ("Vol", moments([x / total for x in v]) if total > 0 else (None, None)),
        ):
            out[f"shape_skew{suffix}"] = (skew, 10.0)
            out[f"shape_kurt{suffix}"] = (kurt, 10.0)
            if skew is not None:
                value = skew / (abs(kurt) + EPS)
                scale = 10 * (1 + abs(value)) / (abs(kurt) + EPS)
                out[f"shape_skratio{suffix}"] = (value, scale)
    if n >= 2:
        impacts = [abs(r[i]) / max(v[i], EPS) for i in range(1, n)]
        out["liq_amihud"] = plain(math.fsum(impacts) / (n - 1))
    for name, inside in (
        ("liq_last_5min_R", lambda m: m >= 55),
        ("liq_funding_impact", lambda m: m < 5 or m >= 55),
        ("liq_top_of_hour_ratio", lambda m: m < 10),
    ):
        part = math.fsum(x for x, m in zip(v, minute, strict=True) if inside(m))
        out[name] = plain(ratio(part, total))
    depth = [(a - b) / max(x, EPS) for a, b, x in zip(h, low, v, strict=True)]
    out["liq_range_vol_ratio"] = plain(math.fsum(depth) / n)
    spread = [(a - b) / max(x, EPS) for a, b, x in zip(h, low, c, strict=True)]
    out["liq_spread_std"] = plain(std(spread))
    both = math.fsum(squares)
    late = math.fsum(s for s, m in zip(squares, minute, strict=True) if m >= 50)
    if both:
        out["liq_tail_risk"] = plain(math.sqrt(late) / (math.sqrt(both) + EPS))
        out["liq_tail_var_share"] = plain(late / (both + EPS))
    growth = [min(10.0, max(-10.0, v[i] / max(v[i - 1], EPS) - 1)) if i else 0.0 for i in range(n)]
    for name, a, b in (
        ("prv", r[1:], v[1:]),
        ("prvr", r[1:], growth[1:]),
        ("pv", c, v),
        ("pvd", c[1:], v[:-1]),
        ("pvl", c[:-1], v[1:]),
        ("pvr", c[1:], growth[1:]),
    ):
        out[f"corr_{name}"] = (pearson(a, b, n >= 10), 1.0)
    if n >= 12:
        out |= doc_reference(r[1:], v[1:])
    return out


def doc_reference(r: list[float], v: list[float]) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for name, x, q in (
        *((f"doc_vol_pdf{p}", r, p / 100) for p in (60, 70, 80, 90, 95)),
        ("doc_vol_pdf90bi", [abs(a) for a in r], 0.9),
    ):
        pairs = sorted(((a, b) for a, b in zip(x, v, strict=True) if b > 0), key=lambda p: p[0])
        total = math.fsum(b for _, b in pairs)
        for i, (a, _) in enumerate(pairs):
            if math.fsum(b for _, b in pairs[: i + 1]) >= q * total - 1e-12 * total:
                out[name] = plain(a)
                break
    low, high = min(r), max(r)
    if high <= low:
        low, high = low - 1e-8, high + 1e-8
    edges = [low + k * (high - low) / 25 for k in range(25)] + [high]
    bins = [0.0] * 25
    for a, b in zip(r, v, strict=True):
        k = max(k for k in range(25) if a >= edges[k])
        bins[k] += b
    out["doc_std"] = plain(std(bins))
    mean = math.fsum(bins) / 25
    m2, m3, m4 = (math.fsum((b - mean) ** k for b in bins) / 25 for k in (2, 3, 4))
    if max(bins) != min(bins):
        s = math.sqrt(m2)
        out["doc_skew"] = (m3 / (s**3 + EPS), 10.0)
        out["doc_kurt"] = (m4 / (s**4 + EPS) - 3, 10.0)
    ranked = sorted(bins, reverse=True)
    for name, count in (("5", 5), ("10", 10), ("50", 25)):
        out[f"doc_vol{name}_ratio"] = plain(ratio(math.fsum(ranked[:count]), math.fsum(bins)))
    return out


def us_open_reference(minutes: dict[datetime, Row], hour: datetime) -> float | None:
    """The New York column of the bar that starts at `hour`."""
    for minute in range(60):
        local = (hour + timedelta(minutes=minute)).astimezone(ZoneInfo("America/New_York"))
        if (local.hour, local.minute) == (10, 29):
            last = minutes.get(hour + timedelta(minutes=minute))
            first = minutes.get(hour + timedelta(minutes=minute - 59))
            if first is None or last is None:
                return None
            return math.log(last["c"] + EPS) - math.log(first["o"] + EPS)
    return None


def quantile99(values: Sequence[float]) -> float:
    return float(np.quantile(np.array(values), 0.99))


def hours_between(start: datetime, row: dict[str, object]) -> float:
    return (row["datetime"] - start).total_seconds() / 3600


def rows_reference(rows: list[dict[str, object]]) -> list[dict[str, Value | bool | int]]:
    """The row columns; `rows` have the names of the table and None for null."""
    out = []
    resumed: list[datetime] = []
    for i, row in enumerate(rows):
        now: dict[str, object] = {}
        before = rows[i - 1] if i else None

        def window(name: str, count: int, at: int = i) -> list[float] | None:
            values = [r[name] for r in rows[max(0, at - count + 1) : at + 1]]
            return None if len(values) < count or None in values else values

        def mean(name: str, count: int) -> float | None:
            values = window(name, count)
            return None if values is None else math.fsum(values) / count

        def change(name: str) -> Value:
            if before is None or row[name] is None or before[name] is None:  # noqa: B023
                return None, 0.0
            now_, then = row[name], before[name]  # noqa: B023
            return now_ - then, max(abs(now_), abs(then))

        gap = None if before is None else (row["datetime"] - before["datetime"]).total_seconds()
        now["gap_seconds"] = plain(gap)
        maintenance = gap is not None and gap > 3605
        if maintenance:
            resumed.append(row["datetime"])
        cooling = any(t <= row["datetime"] <= t + timedelta(hours=2) for t in resumed)
        volume, close, realized = row["volume"], row["close"], row["rv_std_sqrt60"]
        spike = False
        if before is not None and before["close"] > 0 and close > 0:
            spike = abs(math.log(close / before["close"])) > 0.5
        elif before is not None and (before["close"] > 0) != (close > 0):
            spike = True
        recent = [r["volume"] for r in rows[max(0, i - 167) : i + 1]]
        volume_spike = False
        if len(recent) >= 24:
            centre = math.fsum(recent) / len(recent)
            volume_spike = abs((volume - centre) / (std(recent, 1) + 1e-8)) > 5
        now["under_maintenance"] = int(maintenance)
        now["cooldown_no_trade"] = int(cooling)
        now["trade_allowed"] = int(not cooling)
        now["is_stable"] = not cooling
        now["is_spike"] = spike
        now["is_volume_spike"] = volume_spike
        now["is_mature"] = i >= 24
        now["is_valid_for_training"] = int(
            not cooling
            and not maintenance
            and i >= 24
            and not spike
            and not volume_spike
            and row["n_minutes_kept"] >= 50
            and volume > 0
        )
        traded = [r["datetime"] for r in rows[: i + 1] if r["volume"] > 0]
        now["hours_since_trade"] = plain(hours_between(traded[-1], row) if traded else None)
        now["row_span_168h"] = plain(
            hours_between(rows[i - 168]["datetime"], row) if i >= 168 else None
        )
        now["funding_delta"] = change("funding_rate")
        for name, usd in (("oi_delta", False), ("oi_delta_usd", True)):
            value, scale = change("oi_open_interest_usd" if usd else "oi_open_interest")
            now[name] = (value, scale)
            below = (close * volume if usd else volume) + EPS
            over = "oi_delta_usd_over_quote_volume" if usd else "oi_delta_over_volume"
            now[over] = (None, 0.0)
            if value is not None and volume != 0:
                now[over] = (value / below, abs(scale / below))
        m24, m168 = mean("rv_std_sqrt60", 24), mean("rv_std_sqrt60", 168)
        now["rv_stability_24h"] = plain(None if m24 is None else realized / (m24 + EPS))
        now["vol_regime"] = plain(ratio(realized, m168))
        now["turnover_ratio"] = plain(ratio(volume, mean("volume", 24)))
        true_range = []
        for j in range(i - 23, i + 1):
            if j < 0:
                break
            high, low = rows[j]["high"], rows[j]["low"]
            reach = [high - low]
            if j > 0:
                last = rows[j - 1]["close"]
                reach += [abs(high - last), abs(low - last)]
            true_range.append(max(reach))
        now["price_efficiency"] = (None, 0.0)
        if len(true_range) == 24 and math.fsum(true_range) and realized is not None:
            atr = math.fsum(true_range) / 24
            now["price_efficiency"] = plain(realized / (atr / close) if close else None)
        for lag in (1, 24, 168):
            past = rows[i - lag]["close"] if i >= lag else None
            gain = None if not past else close / past - 1
            now[f"returns_{lag}h"] = (gain, 1.0)
        so_far = [r["volume"] for r in rows[: i + 1]]
        now["volume_clean_pit"] = plain(min(volume, quantile99(so_far)))
        now["volume_clean"] = plain(min(volume, quantile99([r["volume"] for r in rows])))
        out.append(now)
    return out
