# What the demos share: sourced by them, from the checkout's folder.

# fresh_folder FOLDER: makes it anew, but never one that no demo made
fresh_folder() {
    local marker="$1/.made_by_demo"
    if [ -e "$1" ] && [ ! -e "$marker" ] && [ -n "$(ls -A "$1")" ]; then
        echo "$1 is not empty and was not made by an earlier demo: name another directory" >&2
        exit 2
    fi
    rm -rf "$1"
    mkdir -p "$1"
    touch "$marker"
}

pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true' EXIT

# started LOG COMMAND…: runs it in the background until the demo ends; `address` is what it serves
started() {
    local log="$1"
    shift
    "$@" >"$log" 2>&1 &
    pids+=("$!")
    address=
    for _ in $(seq 600); do
        address="$(grep -o 'http://[^ ]*' "$log" | head -n 1 || true)"
        [ -n "$address" ] && return
        kill -0 "${pids[-1]}" 2>/dev/null || { cat "$log" >&2; exit 1; }
        sleep 0.1
    done
    echo "no answer: see $log" >&2
    exit 1
}
