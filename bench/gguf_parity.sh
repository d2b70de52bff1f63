#!/usr/bin/env bash
# SmolVLM-256M at its true shape from GGUF files, beside transformers in float32: the seeded checkpoint is written by the
# `gguf` package (tests/golden/gguf_model.py) in each type and compared with the golden, as the folder is.
#   PYTHON=python3 bench/gguf_parity.sh [TYPE...]        BF16 F32 F16 Q8_0 by default
# PYTHON has gguf, transformers, torch and safetensors. BF16 and F32 give what the folder gives; Q8_0 what is left of it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
types=("$@")
[[ $# -gt 0 ]] || types=(BF16 F32 F16 Q8_0)
folder=$("$root/bench/seeded_model.sh" SmolVLM-256M-Instruct)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() {  # MODEL
  EYESHOT_FAMILY=smolvlm-256m EYESHOT_FAMILY_MODEL=$1 "$build/tests/parity/parity_family_portable" \
    --gtest_filter='Family.*ATile' --gtest_brief=1 | grep -E 'cosine|PASSED|FAILED' || true
}
echo "== folder"
run "$folder"
for type in "${types[@]}"; do
  "${PYTHON:-python3}" "$root/tests/golden/gguf_model.py" --model "$folder" --out "$work/$type" --type "$type" \
    --mmproj-type "$type" 2>/dev/null
  echo "== $type"
  run "$work/$type"
  rm -r "${work:?}/$type"
done
