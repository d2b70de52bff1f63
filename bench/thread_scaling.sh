#!/usr/bin/env bash
# How much faster two threads are than one in the vision tower: bench/thread_scaling.sh [OPTIONS OF eyeshot bench]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
model=$("$here/seeded_model.sh" SmolVLM-256M-Instruct)

milliseconds() {
  "$here/../build/release/src/cli/eyeshot" bench --model "$model" --tiles 1 --depths 16 -n 2 --repeat 5 --json "$@" |
    python3 -c 'import json, sys
print(next(s["wall_ms"] for s in json.load(sys.stdin)["pictures"][0]["stages"] if s["name"] == "encode"))'
}

one=$(milliseconds --threads 1 "$@")
two=$(milliseconds --threads 2 "$@")
python3 -c "print(f'a tile takes $one ms with one thread, $two with two: {$one / $two:.2f} times faster')"
