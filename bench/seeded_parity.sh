#!/usr/bin/env bash
# Parity with transformers in float32 at SmolVLM-256M's true shape: a line each for tower, connector and logits.
#   bench/seeded_parity.sh reference|portable
#   bench/seeded_parity.sh portable_bf16|portable_int8|portable_auto|portable_int4
#   bench/seeded_parity.sh portable_bf16_outliers|portable_int8_outliers   outliers in the tower's activations
# `portable` also runs the prompt of 500 tokens, last.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
IFS=_ read -r backend precision variant <<<"$1"
filters=("${variant:-precisions}/*/${precision:-exact}")
filters[0]=${filters[0]^}
if [[ $1 == portable ]]; then filters+=('TrueShapeLong.*'); fi
"$here/seeded_model.sh" SmolVLM-256M-Instruct ${variant:+"--$variant"} >/dev/null
for filter in "${filters[@]}"; do
  "$here/../build/release/tests/parity/parity_true_shape_$backend" --gtest_filter="$filter"
done
