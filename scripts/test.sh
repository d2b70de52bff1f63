#!/usr/bin/env bash
# `make test`: release build, the whole suite with the best instruction set of this machine, then the tests
# labelled `isa` again with each weaker one. The last line is `N passed, N failed[, N skipped]`.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tally.sh
unset EYESHOT_ISA

require "packages" scripts/setup.sh
require "configure" cmake --preset release --log-level=WARNING
require "build" cmake --build --preset release -j "$(nproc)"

mapfile -t isas < <(scripts/supported_isas.sh)
run_ctest "all tests (${isas[-1]})" build/release
for isa in "${isas[@]::${#isas[@]}-1}"; do
  EYESHOT_ISA=$isa run_ctest "kernels again ($isa)" build/release -L '^isa$'
done
close_tally
