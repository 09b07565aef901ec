#!/usr/bin/env bash
# MarketStore's protocol without a network: a simulated exchange and its archive, backfill, real time,
# queries and a stream with the real pymarketstore.
# usage: scripts/demo_marketstore.sh [DATA_ROOT]    (alphaqcm must be on the PATH; `make demo-marketstore`)
set -euo pipefail
cd "$(dirname "$0")/.."

root="${1:-AlphaQCM_data/demo_marketstore}"
marker="$root/.made_by_demo"
if [ -e "$root" ] && [ ! -e "$marker" ] && [ -n "$(ls -A "$root")" ]; then
    echo "$root is not empty and was not made by an earlier demo: name another directory" >&2
    exit 2
fi
rm -rf "$root"
mkdir -p "$root"
touch "$marker"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT

# started LOG COMMAND…: runs it in the background; prints the address that it tells
started() {
    local log="$1" url=""
    shift
    "$@" >"$log" 2>&1 &
    pids+=("$!")
    for _ in $(seq 600); do
        url="$(grep -o 'http://[^ ]*' "$log" | head -n 1 || true)"
        [ -n "$url" ] && break
        kill -0 "${pids[-1]}" 2>/dev/null || { cat "$log" >&2; exit 1; }
        sleep 0.1
    done
    [ -n "$url" ] || { echo "no answer: see $log" >&2; exit 1; }
    address="$url"
}

echo "== what is traded in four days, and what the archive has published of it"
alphaqcm sample "$root/tape" --symbols BTCUSDT,ETHUSDT --days 4 --trades-per-day 4000
alphaqcm sample "$root/archive" --symbols BTCUSDT,ETHUSDT --days 4 --trades-per-day 4000 \
    --published 2024-02-29

echo "== a mirror of the archive, and the exchange in its fourth day, its clock 30 times as fast"
started "$root/mirror.log" alphaqcm mirror "$root/archive" --port 0
mirror="$address"
started "$root/exchange.log" alphaqcm exchange "$root/tape" --port 0 --speed 30 \
    --start 2024-02-29T06:00:00
exchange="$address"
export ALPHAQCM_TEST_CLOCK="$exchange"

cat >"$root/mkts.yml" <<YAML
root_directory: $root/data
listen_port: 0
log_level: info
timezone: "UTC"
bgworkers:
  - module: binancefeederv2.so
    name: BinanceFeederV2
    config:
      api_key: ""
      secret_key: ""
      testnet: false
      symbols: [BTCUSDT, ETHUSDT]
      timeframe: 1Min
      backfill:
        enabled: true
        start_time: "2024-02-26T00:00:00Z"
        end_time: ""
        batch_size: 1000
        parallelism: 5
      realtime:
        enabled: true
        stream_type: kline
        update_freq: 1s
        buffer_size: 1000
        max_retries: 3
        retry_delay: 5s
      log_level: info
YAML

echo "== the endpoint and its feeder"
started "$root/marketstore.log" alphaqcm marketstore start --config "$root/mkts.yml" \
    --source "$mirror" --exchange "$exchange"
rpc="$address"
for _ in $(seq 600); do
    grep -q 'event=done part=backfill' "$root/marketstore.log" && break
    sleep 0.1
done
grep -E 'event=(note|done|problem)' "$root/marketstore.log" | cut -d ' ' -f 3-

echo "== pymarketstore"
python scripts/examples/marketstore_notebook.py "$rpc"
