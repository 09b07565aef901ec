#!/usr/bin/env bash
# The main job on a generated sample: write an archive, serve it over loopback HTTP, run over it.
# usage: scripts/demo.sh [DATA_ROOT]    (alphaqcm must be on the PATH; `make demo` sees to that)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/demo_parts.sh

root="${1:-AlphaQCM_data/demo}"
archive="$root/sample_archive"
fresh_folder "$root"

echo "== a sample archive: 3 symbols, 3 days"
alphaqcm sample "$archive" --symbols 3 --days 3 --seed 7

echo "== served on loopback, as the archive is"
started "$root/mirror.log" alphaqcm mirror "$archive" --port 0

echo "== the run"
alphaqcm run --symbols BTCUSDT,ETHUSDT,SOLUSDT --start 2024-02-27 --end 2024-02-29 \
    --source "$address" --data-root "$root"

echo
echo "== the head of $root/final_dataset_all.parquet, some of its columns"
alphaqcm sql --data-root "$root" --format csv "
    select symbol, strftime(datetime, '%Y-%m-%d %H:%M') as datetime, close,
           round(volume, 3) as volume, round(rv_l2, 6) as rv_l2,
           round(at_cvd_quote, 0) as at_cvd_quote, funding_rate,
           round(oi_open_interest, 1) as oi_open_interest, is_valid_for_training as valid
    from final where datetime >= '2024-02-28 00:00:00+00'
    qualify row_number() over (partition by symbol order by datetime) <= 2
    order by all" | tr ',' '\t' | expand -t 15,33,43,53,64,78,92,110
