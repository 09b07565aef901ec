"""Keys, the hour's bar, funding, price triad, open interest, universe, and flags."""

from __future__ import annotations

from alphaqcm.pipeline.features.columns.spec import (
    COOLDOWN,
    HELD,
    HOUR,
    PREVIOUS,
    ROWS_168,
    SAME_HOUR,
    SAME_HOUR_WHOLE_RANGE,
    SO_FAR,
    WHOLE_RANGE,
    ColumnSpec,
    DType,
    Group,
    Source,
    Window,
)

_PRICE = "quote per base"
_BAR = (Source.MINUTES,)


def _bar(name: str, unit: str, definition: str) -> ColumnSpec:
    return ColumnSpec(name, Group.BASE_BAR, DType.FLOAT, unit, _BAR, HOUR, definition)


KEYS = (
    ColumnSpec(
        "symbol",
        Group.KEY,
        DType.STRING,
        "",
        (Source.SYMBOL,),
        HOUR,
        "The contract as {BASE}_{QUOTE}:{QUOTE}: BTCUSDT is BTC_USDT:USDT. The table is sorted by "
        "symbol (byte order) and datetime; a pair of both occurs once.",
    ),
    ColumnSpec(
        "datetime",
        Group.KEY,
        DType.TIME,
        "UTC time",
        _BAR,
        HOUR,
        "Start h of the hour; the row covers [h, h+1h). There is a row for each hour in which the "
        "symbol has at least one usable 1m kline; hours without one are absent, never filled.",
    ),
)

BASE_BAR = (
    _bar("open", _PRICE, "Open of the hour's first 1m kline."),
    _bar("high", _PRICE, "Largest high of the hour's 1m klines."),
    _bar("low", _PRICE, "Smallest low of the hour's 1m klines."),
    _bar("close", _PRICE, "Close of the hour's last 1m kline."),
    _bar("volume", "base", "Sum of volume over the hour's 1m klines."),
    ColumnSpec(
        "vwap",
        Group.BASE_BAR,
        DType.FLOAT,
        _PRICE,
        _BAR,
        SO_FAR,
        "sum(tp*volume) / sum(volume) over the hour's 1m klines, tp = (high+low+close)/3. In an "
        "hour without volume the value of the previous row; null before the first traded hour.",
    ),
)


def _funding(name: str, dtype: DType, unit: str, window: Window, definition: str) -> ColumnSpec:
    return ColumnSpec(name, Group.FUNDING, dtype, unit, (Source.FUNDING,), window, definition)


FUNDING = (
    _funding(
        "funding_rate",
        DType.FLOAT,
        "fraction per settlement",
        HELD,
        "Rate of the last settlement. A settlement counts from the start of the hour that holds "
        "its calc_time, and for 24 hours; null when there is none in that time. Settlements are "
        "read from the first of the requested start's month on.",
    ),
    _funding(
        "funding_annualized",
        DType.FLOAT,
        "fraction per year",
        HELD,
        "funding_rate * 365 * 24 / interval, with the settlement's own funding_interval_hours (8 "
        "where that is missing or not positive). Null where funding_rate is null.",
    ),
    _funding(
        "funding_delta",
        DType.FLOAT,
        "fraction",
        PREVIOUS,
        "funding_rate minus that of the previous row; 0 between settlements. Null on the first row "
        "and where either is null.",
    ),
    _funding(
        "arb_pressure",
        DType.INT8,
        "0/1",
        HELD,
        "1 if abs(funding_annualized) > 0.30, else 0. Null where funding_annualized is null.",
    ),
)


def _triad(name: str, unit: str, source: Source, kind: str) -> ColumnSpec:
    return ColumnSpec(
        f"triad_{name}_close",
        Group.TRIAD,
        DType.FLOAT,
        unit,
        (source,),
        HOUR,
        f"Close of the 1h {kind} kline of the same hour; null where the archive has none. Not "
        "filled.",
    )


TRIAD = (
    _triad("mark", _PRICE, Source.MARK, "mark price"),
    _triad("index", _PRICE, Source.INDEX, "index price"),
    _triad("premium", "fraction", Source.PREMIUM, "premium index"),
    ColumnSpec(
        "triad_basis",
        Group.TRIAD,
        DType.FLOAT,
        "fraction",
        (Source.MINUTES, Source.INDEX),
        HOUR,
        "(close - triad_index_close) / triad_index_close. Null where the index is null or 0.",
    ),
)


def _metric(
    name: str,
    unit: str,
    definition: str,
    window: Window = HOUR,
    inputs: tuple[Source, ...] = (Source.METRICS,),
    group: Group = Group.OPEN_INTEREST,
) -> ColumnSpec:
    return ColumnSpec(name, group, DType.FLOAT, unit, inputs, window, definition)


_LAST_KNOWN = (
    "that became known in [h, h+1h). A metrics row is known at its create_time, or 5 minutes later "
    "in files dated 2026-06-25 and after, whose labels mark the period's start. Not filled."
)

OPEN_INTEREST = (
    _metric("oi_open_interest", "base", f"Last sum_open_interest {_LAST_KNOWN}"),
    _metric("oi_open_interest_usd", "quote", f"Last sum_open_interest_value {_LAST_KNOWN}"),
    _metric(
        "oi_delta",
        "base",
        "oi_open_interest minus that of the previous row. Null if either is null.",
        PREVIOUS,
    ),
    _metric(
        "oi_delta_over_volume",
        "ratio",
        "oi_delta / (volume + 1e-12). Null where volume is 0 or oi_delta is null.",
        PREVIOUS,
        (Source.METRICS, Source.MINUTES),
    ),
    _metric(
        "oi_delta_usd",
        "quote",
        "oi_open_interest_usd minus that of the previous row. Null if either is null.",
        PREVIOUS,
    ),
    _metric(
        "oi_delta_usd_over_quote_volume",
        "ratio",
        "oi_delta_usd / (close*volume + 1e-12). Null where volume is 0 or oi_delta_usd is null.",
        PREVIOUS,
        (Source.METRICS, Source.MINUTES),
    ),
    _metric(
        "ls_toptrader_long_short_ratio",
        "ratio",
        f"Last sum_toptrader_long_short_ratio {_LAST_KNOWN}",
        group=Group.LONG_SHORT,
    ),
    _metric(
        "ls_taker_long_short_vol_ratio",
        "ratio",
        f"Last sum_taker_long_short_vol_ratio {_LAST_KNOWN}",
        group=Group.LONG_SHORT,
    ),
)

TIME_AND_UNIVERSE = (
    ColumnSpec(
        "bar_end_time",
        Group.TIME,
        DType.TIME,
        "UTC time",
        (Source.CALENDAR,),
        HOUR,
        "datetime + 1 hour.",
    ),
    ColumnSpec(
        "feature_time",
        Group.TIME,
        DType.TIME,
        "UTC time",
        (Source.CALENDAR,),
        HOUR,
        "bar_end_time + 1 millisecond: the first moment at which the row may be used.",
    ),
    ColumnSpec(
        "cs_universe_size",
        Group.UNIVERSE,
        DType.INT32,
        "count",
        (Source.UNIVERSE,),
        SAME_HOUR,
        "Symbols of the run that have a row at this datetime.",
    ),
    ColumnSpec(
        "cs_coverage_frac",
        Group.UNIVERSE,
        DType.FLOAT,
        "fraction",
        (Source.UNIVERSE,),
        SAME_HOUR_WHOLE_RANGE,
        "cs_universe_size / the symbols of the run that have a row at any time. Looks ahead: it "
        "counts symbols that are listed later.",
        point_in_time=False,
        use_instead="cs_coverage_frac_pit",
    ),
)


def _gap(name: str, dtype: DType, unit: str, window: Window, definition: str) -> ColumnSpec:
    return ColumnSpec(name, Group.GAPS, dtype, unit, _BAR, window, definition)


GAPS = (
    _gap(
        "gap_seconds",
        DType.FLOAT,
        "s",
        PREVIOUS,
        "Seconds from the previous row's datetime to this one's; 3600 where no hour is missing. "
        "Null on the first row.",
    ),
    _gap(
        "under_maintenance",
        DType.INT8,
        "0/1",
        PREVIOUS,
        "1 if gap_seconds > 3605: this row is the first after missing hours. 0 on the first row.",
    ),
    _gap(
        "cooldown_no_trade",
        DType.INT8,
        "0/1",
        COOLDOWN,
        "1 from a row with under_maintenance = 1 until 2 hours later by the clock, both ends "
        "included; else 0.",
    ),
    _gap("trade_allowed", DType.INT8, "0/1", COOLDOWN, "1 - cooldown_no_trade."),
)


def _quality(
    name: str,
    dtype: DType,
    unit: str,
    window: Window,
    definition: str,
    use_instead: str = "",
) -> ColumnSpec:
    return ColumnSpec(
        name,
        Group.QUALITY,
        dtype,
        unit,
        _BAR,
        window,
        definition,
        point_in_time=not use_instead,
        use_instead=use_instead,
    )


QUALITY = (
    _quality("is_stable", DType.BOOLEAN, "", COOLDOWN, "cooldown_no_trade = 0."),
    _quality(
        "is_spike",
        DType.BOOLEAN,
        "",
        PREVIOUS,
        "abs(ln(close / close of the previous row)) > 0.5. False on the first row.",
    ),
    _quality(
        "is_volume_spike",
        DType.BOOLEAN,
        "",
        ROWS_168,
        "abs(z) > 5 with z = (volume - mean) / (std + 1e-8); mean and std (ddof=1) of volume over "
        "the last 168 rows, this one included. False while there are fewer than 24 rows.",
    ),
    _quality(
        "volume_clean",
        DType.FLOAT,
        "base",
        WHOLE_RANGE,
        "min(volume, q) with q the 0.99 quantile (linear interpolation) of volume over all rows of "
        "the symbol in the run. Looks ahead, and changes with the requested range.",
        use_instead="volume_clean_pit",
    ),
    _quality(
        "is_mature",
        DType.BOOLEAN,
        "",
        SO_FAR,
        "At least 24 rows of the symbol lie before this one. Counted from the first row of the "
        "run: an old listing too starts with 24 rows that are not mature.",
    ),
    _quality(
        "is_valid_for_training",
        DType.INT8,
        "0/1",
        ROWS_168,
        "1 if trade_allowed = 1, cooldown_no_trade = 0, under_maintenance = 0, is_mature, not "
        "is_spike, not is_volume_spike, n_minutes_kept >= 50, and volume > 0; else 0.",
    ),
)

MARKET = KEYS + BASE_BAR + FUNDING + TRIAD + OPEN_INTEREST + TIME_AND_UNIVERSE + GAPS + QUALITY
