"""Activity: the mean number of trades of the last n candles."""

import pandas as pd


def signal(*args) -> pd.DataFrame:
    df, n, column = args
    df[column] = df["trade_num"].rolling(n).mean()
    return df
