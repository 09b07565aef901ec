#!/usr/bin/env bash
# Candles over REST without a network: a simulated exchange, fetch, hours at every offset, compare.
# usage: scripts/demo_candles.sh [DATA_ROOT]    (alphaqcm must be on the PATH; `make demo-candles`)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/demo_parts.sh

root="${1:-AlphaQCM_data/demo_candles}"
fresh_folder "$root"

echo "== a simulated exchange, its clock 20 times as fast"
started "$root/exchange.log" \
    alphaqcm exchange --port 0 --speed 20 --spot 4 --um 6 --trades-per-minute 1
url="$address"
export ALPHAQCM_TEST_CLOCK="$url"

echo "== five-minute candles of two markets, 3 days"
alphaqcm candles fetch --exchange "$url" --days 3 --data-root "$root"

echo "== hours at twelve offsets"
alphaqcm candles resample --data-root "$root"

echo "== held against the exchange's own hours"
alphaqcm candles compare --reference exchange-1h --exchange "$url" --data-root "$root"

echo
echo "== the head of $root/candles/usdt_futures_1h_resample_all/5m.parquet"
python -c '
import sys
import polars as pl
frame = pl.read_parquet(sys.argv[1]).head(4)
print(frame.select("symbol", "candle_begin_time", "open", "high", "low", "close", "volume",
                   "trade_num").write_csv(separator="\t", datetime_format="%Y-%m-%d %H:%M"), end="")
' "$root/candles/usdt_futures_1h_resample_all/5m.parquet" | expand -t 12,32,44,56,68,80,92
