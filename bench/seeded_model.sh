#!/usr/bin/env bash
# Prints the folder of a model of true shape with weights from a seed, and makes it if it is not there:
#   bench/seeded_model.sh SmolVLM-256M-Instruct
set -euo pipefail
build=$(cd "$(dirname "${BASH_SOURCE[0]}")/../build/release" && pwd)
name=${1,,}
out=$build/data/seeded/${name%-instruct}
if [[ ! -f $out/model.safetensors ]]; then
  "$build/src/cli/eyeshot" dev checkpoint --config "$build/data/tests/data/checkpoints/$1" --seed 1 --out "$out" >&2
fi
echo "$out"
