#!/usr/bin/env bash
# Parity with transformers in float32 of every checkpoint of the family at its true shape, weights from a seed:
#   bench/family_parity.sh [--long] [NAME...]        smolvlm-256m smolvlm-500m smolvlm-2.2b smolvlm2-2.2b granite-docling
# Makes each checkpoint (0.5 to 4.5 GB), runs the test and removes it. --long also runs full contexts: the 2.2B model's
# takes minutes. EYESHOT_FAMILY_BACKEND=reference tests the oracle, EYESHOT_FAMILY_PRECISION=int8 other weights.
set -euo pipefail
build=$(cd "$(dirname "${BASH_SOURCE[0]}")/../build/release" && pwd)
filter='Family.*ATile'
if [[ ${1-} == --long ]]; then
  filter='Family.*'
  shift
fi
names=("$@")
[[ $# -gt 0 ]] || names=(smolvlm-256m smolvlm-500m smolvlm-2.2b smolvlm2-2.2b granite-docling)
declare -A folders=(
  [smolvlm-256m]=SmolVLM-256M-Instruct [smolvlm-500m]=SmolVLM-500M-Instruct [smolvlm-2.2b]=SmolVLM-Instruct
  [smolvlm2-2.2b]=SmolVLM2-2.2B-Instruct [granite-docling]=granite-docling-258M
)
for name in "${names[@]}"; do
  folder=${folders[$name]:?there is no such checkpoint}
  out=$build/data/seeded/$name
  made=
  if [[ ! -f $out/model.safetensors ]]; then
    made=1
    "$build/src/cli/eyeshot" dev checkpoint --config "$build/data/tests/data/checkpoints/$folder" --seed 1 --out "$out" >&2
  fi
  echo "== $name"
  status=0
  EYESHOT_FAMILY=$name "$build/tests/parity/parity_family_${EYESHOT_FAMILY_BACKEND:-portable}" \
    --gtest_filter="$filter" --gtest_brief=1 || status=$?
  [[ -z $made ]] || rm -r "$out"
  [[ $status -eq 0 ]] || exit "$status"
done
