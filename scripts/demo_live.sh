#!/usr/bin/env bash
# One minute of the live client without a network: a simulated exchange, the client's status screen,
# and a table of factors at each close.
# usage: scripts/demo_live.sh [BASE_DIR]    (alphaqcm must be on the PATH; `make demo-live`)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/demo_parts.sh

base="${1:-AlphaQCM_data/demo_live}"
fresh_folder "$base"

echo "== a simulated exchange, its clock 20 times as fast, with a lost connection and a missing candle"
cat >"$base/storm.yml" <<'YAML'
seed: 11
faults:
- {kind: ws-drop, market: um, start: "+420"}
- {kind: missing-close, symbol: ETHUSDT, start: "+600", seconds: 70}
YAML
started "$base/exchange.log" alphaqcm exchange --port 0 --speed 20 --spot 1 --um 12 \
    --trades-per-minute 6 --scenario "$base/storm.yml"
url="$address"
export ALPHAQCM_TEST_CLOCK="$url"

echo "== the client: candles of 1 minute, files in $base/usdt_perp_1m"
echo '{"interval": "1m", "trade_type": "usdt_perp", "num_candles": 300, "num_socket_listeners": 2, "funding_rate": true}' \
    >"$base/config.json"
alphaqcm bmac start "$base" --exchange "$url" >"$base/client.log" 2>&1 &
live=$!
pids=("$live" "${pids[@]}")  # ends first
python scripts/examples/live_table.py "$base" --seconds "${DEMO_SECONDS:-60}"
kill -0 "$live" 2>/dev/null || { cat "$base/client.log" >&2; exit 1; }

echo
echo "== the end of $base/usdt_perp_1m/BTCUSDT.pqt"
python -c '
import sys
import pandas as pd
frame = pd.read_parquet(sys.argv[1]).tail(3)
print(frame[["open", "high", "low", "close", "volume", "trade_num"]].to_string())
' "$base/usdt_perp_1m/BTCUSDT.pqt"
