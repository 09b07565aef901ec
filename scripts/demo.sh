#!/usr/bin/env bash
# The main job on a generated sample: write an archive, serve it over loopback HTTP, run the road.
# usage: scripts/demo.sh [DATA_ROOT]    (alphaqcm must be on the PATH; `make demo` sees to that)
set -euo pipefail
cd "$(dirname "$0")/.."

root="${1:-AlphaQCM_data/demo}"
archive="$root/sample_archive"
rm -rf "$root"
mkdir -p "$root"

echo "== a sample archive: 4 symbols, 5 days"
alphaqcm sample "$archive" --symbols 4 --days 5 --seed 7

echo "== served on loopback, as the archive is"
alphaqcm mirror "$archive" --port 0 >"$root/mirror.log" 2>&1 &
mirror=$!
trap 'kill "$mirror" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    url="$(grep -o 'http://[^ ]*' "$root/mirror.log" | head -n 1 || true)"
    [ -n "$url" ] && break
    kill -0 "$mirror" 2>/dev/null || { cat "$root/mirror.log" >&2; exit 1; }
    sleep 0.1
done
[ -n "$url" ] || { echo "the mirror did not start: see $root/mirror.log" >&2; exit 1; }

echo "== the road"
