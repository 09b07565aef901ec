#!/usr/bin/env bash
# N workers (default 3) on one queue of aggTrades and the monitor: `alphaqcm workers`, from a checkout
project="${BASH_SOURCE[0]%/*}/.." && python="$project/.venv/bin/python" && [ -x "$python" ] || python=python3
exec "$python" "$project/data_collection/cli.py" workers "$@"
