"""The public functions: lazy frames, arrays and descriptions of what a data root holds.

In all of them `root` is a path or a `DataRoot`. `symbols` is one symbol or several, in any notation
(`BTCUSDT`, `BTC/USDT:USDT`, `BTC_USDT:USDT`; `"BTCUSDT,ETHUSDT"` too); None means all that are
there. `start` and `end` are days or instants, in UTC where no zone is named. Bars are taken by
their start: from `start` on, a day's from midnight; up to the whole day `end` where it is a day, to
before `end` where it is an instant. Times are Datetime[us, UTC] and label the start of a bar.
A missing value is null, never NaN, and nothing is filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from alphaqcm.data_collection.errors import UsageError
from alphaqcm.data_collection.serving.layer_files import HOURLY
from alphaqcm.data_collection.serving.lazy_symbols import KEYS
from alphaqcm.data_collection.serving.panel import read_panel, require_columns, require_numbers
from alphaqcm.pipeline.candles.window_grid import WindowGrid
from alphaqcm.pipeline.domain.registry import DataType, Market, parse_type
from alphaqcm.pipeline.features.columns import REGISTRY
from alphaqcm.pipeline.features.columns.render import describe_columns
from alphaqcm.roots import DataRoot, RootLike, SymbolsLike, TimeLike, cut_of, market_of, root_at

if TYPE_CHECKING:
    from alphaqcm.data_collection.build.manifest import Manifest


def open_root(path: RootLike) -> DataRoot:
    """The data root in the folder `path`, or at a URL of an object store; checked to be there.

    Of a data root at `s3://bucket/prefix`, `gs://…` or `az://…` (extra `s3`) what is read is copied
    to a passing folder first. Raises `UsageError` for other URLs and where there is nothing.

    >>> import alphaqcm
    >>> root = alphaqcm.open_root("AlphaQCM_data/demo")
    >>> root.path.name
    'demo'
    >>> alphaqcm.open_root("https://host/root")
    Traceback (most recent call last):
        ...
    alphaqcm.data_collection.errors.UsageError: https://host/root; expected a folder of this \
machine, or s3://bucket/prefix, gs://… or az://…; found a URL (https); next: copy or mount the \
data root and name its folder
    """
    return root_at(path)


def scan(
    root: RootLike,
    symbols: SymbolsLike | None = None,
    columns: Sequence[str] | None = None,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    valid: bool = True,
    *,
    variant: str = "",
) -> pl.LazyFrame:
    """Rows of the wide table: one a symbol and hour, sorted by both.

    Columns are `symbol` (as `BTC_USDT:USDT`), `datetime`, then those named, or all; types, units
    and definitions are told by `alphaqcm.columns()`. With `valid`, the default, only rows with
    is_valid_for_training = 1 (rows after a gap, of a young listing, with spikes, with too few
    minutes or without volume are left out); `valid=False` gives every row. `variant` names another
    table of the root (`metrics85`). Nulls are as each column's definition says. A row may be used
    from its `feature_time` on.

    Raises `UsageError` for a table, symbol or column that is not there, `BadName` for a symbol that
    cannot be one, `LayerError` for a file that is no such table.

    >>> import alphaqcm
    >>> frame = alphaqcm.scan(
    ...     "AlphaQCM_data/demo", symbols="BTC/USDT:USDT", columns=["close", "rv_l2"],
    ...     start="2024-02-28", end="2024-02-28", valid=False,
    ... )
    >>> frame.collect().shape
    (24, 4)
    >>> alphaqcm.scan("AlphaQCM_data/demo").collect().height  # the first 24 rows are not mature
    144
    """
    named = list(dict.fromkeys([*KEYS, *require_columns(columns)]))
    reader = root_at(root).reader()
    frame = reader.final(cut_of(Market.UM, symbols, start, end), variant)
    if valid:
        frame = frame.filter(pl.col("is_valid_for_training") == 1)
    return frame.select(named)


def bars(
    root: RootLike,
    symbols: SymbolsLike | None = None,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    interval: str = "5m",
    offset: str = "0m",
    *,
    market: Market | str = Market.UM,
) -> pl.LazyFrame:
    """Bars of any interval (`1m` to `1d` in whole minutes, `1w` from Monday), at any offset.

    Folded from the 1m klines. Columns: `symbol` (the exchange's name), `datetime`; `open`, `high`,
    `low`, `close` (quote per base), `volume` and `taker_buy_volume` (base; contracts where the
    market is cm), `quote_volume` and `taker_buy_quote_volume` (quote; base where it is cm), `count`
    (trades, Int64), `n_minutes` (Int32). `n_minutes` tells how many 1m klines the bar is made of: a
    bar with a hole in it is there and has fewer than its interval; one without any kline has no
    row. A bar that ends after the last archived day is not finished and has none either. Sums add
    from left to right in order of time: the same bits wherever this project makes the same bar.
    A null in a minute makes the bar's value null.

    Raises `BadName` for an interval or offset that is none, `UsageError` where the layer or a
    symbol is not there, `LayerError` on collecting a damaged file.

    >>> import alphaqcm
    >>> root = alphaqcm.open_root("AlphaQCM_data/demo")
    >>> hours = alphaqcm.bars(root, "BTCUSDT", interval="1h", offset="15m").collect()
    >>> hours.columns[:6]
    ['symbol', 'datetime', 'open', 'high', 'low', 'close']
    >>> hours["datetime"][0].isoformat(), hours["n_minutes"][0]  # began before the first minute
    ('2024-02-26T23:15:00+00:00', 15)
    >>> hours["n_minutes"][1:].unique().to_list()
    [60]
    """
    grid = WindowGrid.of("1m", interval, offset)
    kind = market_of(market)
    return root_at(root).reader(kind).bars(cut_of(kind, symbols, start, end), grid)


def flow(
    root: RootLike,
    symbols: SymbolsLike | None = None,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    interval: str = "5m",
    offset: str = "0m",
    *,
    market: Market | str = Market.UM,
) -> pl.LazyFrame:
    """Order flow of any interval at any offset, like `bars`, folded from the minutes of aggTrades.

    Columns: `symbol` (the exchange's name), `datetime`, then those of the minutes: counts, volumes
    in base and quote units, taker, whale and retail sums, `first_ts` and `last_ts` (instants of the
    first and last trade), `price_first`, `price_last`, `price_high`, `price_low` (quote per base),
    trade ids; and `n_minutes` (Int32), the minutes that had a trade. A window without a trade has
    no row. Raises like `bars`.

    >>> import alphaqcm
    >>> rows = alphaqcm.flow("AlphaQCM_data/demo", "ETHUSDT", interval="1d").collect()
    >>> rows.height
    3
    >>> bool((rows["taker_buy_quote"] + rows["taker_sell_quote"] > 0).all())
    True
    """
    grid = WindowGrid.of("1m", interval, offset)
    kind = market_of(market)
    return root_at(root).reader(kind).flow(cut_of(kind, symbols, start, end), grid)


def hourly(
    root: RootLike,
    data_type: DataType | str,
    symbols: SymbolsLike | None = None,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    *,
    market: Market | str = Market.UM,
) -> pl.LazyFrame:
    """The hours of an archive type, as its `binance_*` layer has them.

    `data_type` is `aggTrades`, `klines`, `markPriceKlines`, `indexPriceKlines`,
    `premiumIndexKlines`, `fundingRate` or `metrics`. Columns: `symbol` (the exchange's name),
    `datetime` (the hour's start), then the layer's own (AlphaQCM_data/README.md). Hours that the
    archive does not have are absent; funding is held for at most 24 hours after a settlement.

    Raises `BadName` for a type that is none, `UsageError` where the layer or a symbol is not there.

    >>> import alphaqcm
    >>> alphaqcm.hourly("AlphaQCM_data/demo", "fundingRate", "SOLUSDT").collect_schema().names()
    ['symbol', 'datetime', 'last_funding_rate', 'funding_interval_hours']
    """
    kind = market_of(market)
    of_type = data_type if isinstance(data_type, DataType) else parse_type(data_type)
    if of_type not in HOURLY.values():
        raise UsageError(
            f"hours of {of_type}",
            expected="a type with an hourly layer: " + ", ".join(HOURLY.values()),
        )
    return root_at(root).reader(kind).hourly(of_type, cut_of(kind, symbols, start, end))


def columns() -> pl.DataFrame:
    """What every column of the wide table means: one row a column, in the table's order.

    Columns, all String but the last: `name`, `dtype`, `group`, `unit`, `inputs` (archive types),
    `window` (the rows it looks at), `definition`, `use_instead` (the column that stands in for one
    that looks ahead, else null), `point_in_time` (Boolean: known at the row's `feature_time`).

    >>> import alphaqcm
    >>> table = alphaqcm.columns()
    >>> table.filter(~table["point_in_time"])["use_instead"].to_list()
    ['cs_coverage_frac_pit', 'volume_clean_pit']
    """
    names = ("name", "dtype", "group", "unit", "inputs", "window", "definition", "use_instead")
    told = describe_columns(tuple(REGISTRY.values()))
    frame = pl.DataFrame([{name: row.get(name) for name in names} for row in told])
    known = pl.Series("point_in_time", [row["point_in_time"] == "yes" for row in told])
    return frame.cast(pl.String).with_columns(known)


def manifest(root: RootLike, *, variant: str = "") -> Manifest:
    """What the wide table holds and what it was made of: the manifest beside it.

    With `sha256`, `rows`, `columns`, `start` and `end` (days), `source`, library versions, the
    verdict of the last check, and per symbol its rows, first and last hour and the digest of its
    inputs. Nothing is verified here; `alphaqcm info` does that. Raises `UsageError` where there is
    no manifest or a damaged one.

    >>> import alphaqcm
    >>> told = alphaqcm.manifest("AlphaQCM_data/demo")
    >>> told.start, told.rows, list(told.symbols)
    ('2024-02-27', 216, ['BTC_USDT:USDT', 'ETH_USDT:USDT', 'SOL_USDT:USDT'])
    """
    # it comes with what makes tables, compiled kernels too: reading rows needs none of that
    from alphaqcm.data_collection.build.manifest import manifest_path, read_manifest

    layout = root_at(root).layout()
    table = layout.final_table(variant)
    layout.store.bring([manifest_path(table)])
    return read_manifest(table)


def panel(
    root: RootLike,
    fields: str | Sequence[str],
    symbols: SymbolsLike | None = None,
    start: TimeLike | None = None,
    end: TimeLike | None = None,
    valid: bool = True,
    *,
    variant: str = "",
) -> tuple[npt.NDArray[np.datetime64], list[str], npt.NDArray[np.float64]]:
    """Numbers of the wide table as (times, symbols, array of shape [time, field, symbol]).

    `times` are datetime64[us] in UTC: every hour from the first row to the last, also those that no
    symbol has, so that a step along the axis is one hour. `symbols` are in the table's notation, in
    the order asked for or else the table's. The array is float64; flags and counts are cast. NaN
    stands where there is no row, where the value is null, and with `valid`, the default, where the
    row is not valid for training (see `scan`).

    Raises like `scan`, and `UsageError` for a field that is no number.

    >>> import alphaqcm
    >>> times, names, values = alphaqcm.panel(
    ...     "AlphaQCM_data/demo", ["close", "volume"], ["ETHUSDT", "BTCUSDT"], valid=False
    ... )
    >>> values.shape, names
    ((72, 2, 2), ['ETH_USDT:USDT', 'BTC_USDT:USDT'])
    >>> str(times[1])
    '2024-02-27T01:00:00.000000'
    """
    wanted = require_numbers(fields)
    cut = cut_of(Market.UM, symbols, start, end)
    made = read_panel(root_at(root).reader(), cut, wanted, valid=valid, variant=variant)
    return made.times, made.symbols, made.values
