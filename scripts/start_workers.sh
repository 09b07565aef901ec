#!/usr/bin/env bash
# Start N workers (default 3) on one queue of aggTrades, and the monitor beside them.
#
#   scripts/start_workers.sh 3 --symbols-file symbols/top100_perp_symbols.txt \
#       --start 2024-01-01 --end 2024-12-31 --skip-existing
#
# What follows N goes to data_collection/run_aggtrades_queue.py as it is. With tmux each worker and
# the monitor have a pane of the session "alphaqcm"; without it they are background processes. Logs:
# _tmp/logs/worker-*.log in the data root (or in --temp-dir).
set -euo pipefail

session=alphaqcm
project="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
count=3
if [[ "${1:-}" =~ ^[0-9]+$ ]]; then
    count="$1"
    shift
fi
if [ "$#" -eq 0 ] || [ "$count" -lt 1 ] || [[ " $* " == *" --help "* || " $* " == *" -h "* ]]; then
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi

python="$project/.venv/bin/python"
[ -x "$python" ] || python=python3

# the places that the workers' own options name
temp=AlphaQCM_data/_tmp
watched=()
words=("$@")
for ((i = 0; i < ${#words[@]}; i++)); do
    case "${words[i]}" in
        --temp-dir) temp="${words[i + 1]:-}" ;;
        --temp-dir=*) temp="${words[i]#*=}" ;;
        --state) watched=(--state "${words[i + 1]:-}") ;;
        --state=*) watched=("${words[i]}") ;;
    esac
done
logs="$temp/logs"
mkdir -p "$logs"

worker=("$python" "$project/data_collection/run_aggtrades_queue.py")
monitor=("$python" "$project/data_collection/monitor_aggtrades_progress.py" "${watched[@]}")
# the python has what it needs, and the words fit: a worker would only say so in its own pane
"${worker[@]}" --help >/dev/null
"$python" - "$project" --worker-id W1 "$@" <<'CHECK' || exit 2
import sys
from types import SimpleNamespace

sys.path.insert(0, sys.argv[1])
from alphaqcm.data_collection import run_aggtrades_queue as script
from alphaqcm.data_collection.commands.main import run_module

check = SimpleNamespace(
    __doc__=script.__doc__,
    configure=script.configure,
    run=lambda words: int(script.settings_of(words) is None),
)
sys.exit(run_module(check, sys.argv[2:], prog="start_workers.sh"))
CHECK

if command -v tmux >/dev/null 2>&1; then
    if tmux has-session -t "=$session" 2>/dev/null &&
        ! tmux list-panes -t "=$session:0" -F '#{pane_index} #{pane_dead}' | grep -q '^[1-9].* 0$'; then
        tmux kill-session -t "=$session" # its workers have all ended
    fi
    if tmux has-session -t "=$session" 2>/dev/null; then
        echo "the tmux session $session is there already." >&2
        echo "look at it: tmux attach -t $session; stop it: tmux kill-session -t $session" >&2
        exit 1
    fi
    tmux new-session -d -s "$session" -x 160 -y 50 -c "$PWD" "$(printf '%q ' "${monitor[@]}" --interval 5)"
    tmux set-option -t "$session" remain-on-exit on >/dev/null
    tmux set-option -t "$session" history-limit 20000 >/dev/null
    for ((n = 1; n <= count; n++)); do
        log="$(printf '%q' "$logs/worker-W$n.log")"
        line="$(printf '%q ' "${worker[@]}" --worker-id "W$n" "$@")"
        tmux split-window -t "$session:0" -c "$PWD" \
            "exec bash -o pipefail -c $(printf '%q' "$line 2>&1 | tee -ai $log")"
        tmux select-layout -t "$session:0" main-vertical >/dev/null
    done
    tmux set-option -w -t "$session:0" main-pane-width 82 >/dev/null
    tmux select-layout -t "$session:0" main-vertical >/dev/null
    tmux select-pane -t "$session:0.0"
    echo "$count workers and the monitor run in the tmux session $session."
    echo "look:  tmux attach -t $session      (leave it again: Ctrl-b d)"
    echo "logs:  tail -f $logs/worker-*.log"
    echo "stop:  tmux kill-session -t $session  (the same command goes on later)"
    echo "next:  when they are done, alphaqcm run with the same symbols and days makes the table"
else
    pids=()
    for ((n = 1; n <= count; n++)); do
        nohup "${worker[@]}" --worker-id "W$n" "$@" </dev/null >>"$logs/worker-W$n.log" 2>&1 &
        pids+=("$!")
    done
    echo "$count workers run in the background (tmux is not installed)."
    echo "look:  ${monitor[*]}"
    echo "logs:  tail -f $logs/worker-*.log"
    echo "stop:  kill ${pids[*]}  (the same command goes on later)"
fi
