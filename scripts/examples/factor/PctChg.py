"""Momentum: how far the close moved over the last n candles, as a fraction."""

import pandas as pd


def signal(*args) -> pd.DataFrame:
    df, n, column = args
    df[column] = df["close"].pct_change(n)
    return df
