#!/usr/bin/env bash
# MarketStore's protocol without a network: a simulated exchange and its archive, backfill, real time,
# queries and a stream with the real pymarketstore.
# usage: scripts/demo_marketstore.sh [DATA_ROOT]    (alphaqcm must be on the PATH; `make demo-marketstore`)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/demo_parts.sh

root="${1:-AlphaQCM_data/demo_marketstore}"
fresh_folder "$root"

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
