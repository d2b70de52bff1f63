#!/usr/bin/env bash
# Parity with transformers at SmolVLM-256M's true shape: bench/seeded_parity.sh reference|portable
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/seeded_model.sh" SmolVLM-256M-Instruct > /dev/null
"$here/../build/release/tests/parity/parity_true_shape_$1"
