#!/usr/bin/env bash
# The demo's archive on a Dask cluster of this machine, into an S3 server on loopback; then its bytes
# are held against those of `make demo`.
# usage: scripts/demo_cluster.sh [DATA_ROOT]    (`make demo-cluster` sees to the PATH and to the demo)
set -euo pipefail
cd "$(dirname "$0")/.."

root="${1:-AlphaQCM_data/demo}"
archive="$root/sample_archive"
[ -e "$root/final_dataset_all.parquet" ] || { echo "no demo in $root: run make demo first" >&2; exit 2; }
folder="$(mktemp -d)"
trap 'kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

echo "== an S3 server on loopback, with one bucket"
port="$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
moto_server -H 127.0.0.1 -p "$port" >"$folder/server.log" 2>&1 &
server=$!
export AWS_ENDPOINT_URL="http://127.0.0.1:$port" AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY=demo
python - <<'PYTHON'
import os, time, urllib.request
make = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/alphaqcm", method="PUT")
for _ in range(100):
    try:
        urllib.request.urlopen(make).close()
        break
    except OSError:
        time.sleep(0.1)
else:
    raise SystemExit("the server did not start")
PYTHON

echo "== the run: a Dask cluster of two processes, no layer on this disk"
alphaqcm run --symbols BTCUSDT,ETHUSDT,SOLUSDT --start 2024-02-27 --end 2024-02-29 \
    --source "$archive" --data-root s3://alphaqcm/demo --executor dask --scratch "$folder/scratch"

echo
echo "== a query over it"
alphaqcm sql --data-root s3://alphaqcm/demo --format csv \
    "select symbol, count(*) as hours, max(close) as highest from final group by all order by all"

echo
echo "== every layer file and the table against the demo's"
python scripts/compare_roots.py "$root" s3://alphaqcm/demo
