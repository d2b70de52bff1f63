#!/usr/bin/env bash
# Prints the folder of a seeded model with packed weights, and makes it if it is not there:
#   bench/packed_model.sh SmolVLM-256M-Instruct int8
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$here/../build/release/src/cli/eyeshot
model=$("$here/seeded_model.sh" "$1")
out=$model-${2//,/-}
# Another build may lay weights out otherwise.
if [[ ! -f $out/model.eyeshot || $program -nt $out/model.eyeshot ]]; then
  "$program" quantize --no-comparison --precision "$2" "$model" "$out" > /dev/null
fi
echo "$out"
