"""Columns that tell whether the contract really traded, and whether windows cross missing hours."""

from __future__ import annotations

from alphaqcm.pipeline.features.columns.spec import (
    HOUR,
    ROWS_169,
    SO_FAR,
    ColumnSpec,
    DType,
    Group,
    Source,
    Window,
)


def _column(
    group: Group, name: str, dtype: DType, unit: str, window: Window, definition: str
) -> ColumnSpec:
    return ColumnSpec(name, group, dtype, unit, (Source.MINUTES,), window, definition)


TRADING = (
    _column(
        Group.QUALITY,
        "hours_since_trade",
        DType.INT32,
        "hours",
        SO_FAR,
        "Hours by the clock from the last row with volume > 0, up to and including this one, to "
        "this row: 0 where this hour traded. Null before the first such row. Tells a dead or "
        "halted contract, whose klines go on with volume 0.",
    ),
    _column(
        Group.VOLATILITY,
        "n_minutes_traded",
        DType.INT16,
        "count",
        HOUR,
        "Number of the hour's 1m rows (those of n_minutes) with volume > 0.",
    ),
    _column(
        Group.QUALITY,
        "row_span_168h",
        DType.INT32,
        "hours",
        ROWS_169,
        "Hours by the clock from the row 168 rows earlier to this row: 168 where the windows of "
        "this row cross no missing hour, else more. Null on the first 168 rows.",
    ),
)
