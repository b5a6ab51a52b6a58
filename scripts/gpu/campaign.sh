#!/usr/bin/env bash
# Trains the lines of a list on one GPU, some at a time, until a time is over: see README.md.
#
#     scripts/gpu/campaign.sh LIST SECONDS PARALLEL
set -euo pipefail
[[ $# == 3 ]] || { sed -n '4s/^# *//p' "$0" >&2; exit 2; }
list=$1 parallel=$3
: "${DEVICE:=cuda:0}" "${PYTHON:=python3}" "${RUNS:=gpu-package/runs}" "${OUT:=gpu-package/out}"
export DEVICE RUNS OUT
END=$(($(date +%s) + $2))
THREADS=$(($(nproc) / parallel > 0 ? $(nproc) / parallel : 1))
export END THREADS
torch_lib=$("$PYTHON" -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))')
export LD_LIBRARY_PATH=$torch_lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
mkdir -p "$OUT" "$RUNS"

one() { # NAME CONFIG [ARGUMENT…]
    local left=$((END - $(date +%s))) resume=
    [[ $left -gt 10 && ! -e $RUNS/$1/finished ]] || return 0
    [[ ! -e $RUNS/$1/last.ckpt.safetensors ]] || resume=--resume
    gpu-package/bin/sd-train train "$2" --data-dir gpu-package/data --device "$DEVICE" --threads "$THREADS" \
        --out "$RUNS/$1" --time-limit "${left}s" --checkpoint-every 1h "${@:3}" $resume >"$RUNS/$1.log" 2>&1 &&
        touch "$RUNS/$1/finished" || echo "$1: status $?"
}
export -f one

# The records of the runs in one archive. Programs replace these files while they are read: a failure
# waits for the next time.
collect() {
    (cd "$RUNS" && find . -name '.?*' -prune -o -type f \
        \( -name '*.json' -o -name 'epochs.jsonl' -o -name '*.toml' -o -name '*.csv' -o -name '*.log' \) -print) |
        tar -czf "$OUT/.records" -C "$RUNS" -T - 2>/dev/null
    mv "$OUT/.records" "$OUT/records.tar.gz"
}

set -m # the workers are a process group of their own
xargs -P "$parallel" -L 1 bash -c 'one "$@"' _ <"$list" &
workers=$!
while kill -0 $workers 2>/dev/null && [[ $(date +%s) -lt $((END + ${GRACE:-15})) ]]; do
    sleep 5
    collect || true
done
kill -- -$workers 2>/dev/null || true
collect || true
for run in "$RUNS"/*/; do
    [[ ! -s $run/epochs.jsonl ]] ||
        printf '%-28s %s\n' "$(basename "$run")" "$(tail -n 1 "$run/epochs.jsonl" | cut -c -110)"
done
