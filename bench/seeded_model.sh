#!/usr/bin/env bash
# Prints the folder of a model of true shape with weights from a seed, and makes it if it is not there:
#   bench/seeded_model.sh SmolVLM-256M-Instruct [--outliers]
set -euo pipefail
build=$(cd "$(dirname "${BASH_SOURCE[0]}")/../build/release" && pwd)
name=${1,,}
option=${2-}
out=$build/data/seeded/${name%-instruct}${option#-}
if [[ ! -f $out/model.safetensors ]]; then
  "$build/src/cli/eyeshot" dev checkpoint --config "$build/data/tests/data/checkpoints/$1" --seed 1 ${option:+"$option"} \
    --out "$out" >&2
fi
echo "$out"
