#!/usr/bin/env bash
# How much decoding slows down while another program keeps one core busy: bench/busy_core.sh [OPTIONS OF eyeshot bench]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
model=$("$here/seeded_model.sh" SmolVLM-256M-Instruct)

milliseconds() {
  "$here/../build/release/src/cli/eyeshot" bench --model "$model" --tiles 1 --depths 64 --repeat 5 --json "$@" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["decode"][0]["ms_per_token"])'
}

alone=$(milliseconds "$@")
core=$(python3 -c 'import os; print(min(os.sched_getaffinity(0)))')
taskset -c "$core" bash -c 'while :; do :; done' &
busy=$!
trap 'kill $busy' EXIT
beside=$(milliseconds "$@")
python3 -c "print(f'alone $alone ms a token, beside a busy core $beside: {$beside / $alone:.2f} times as long')"
