#!/usr/bin/env bash
# `make check`: what `make test` is too short for. Parts: asan tsan neon fuzz lint shapes; all of them without arguments.
# The last line is `N passed, N failed[, N skipped]`. With EYESHOT_DEADLINE (.ci/run sets it) a part ends about then: see
# scripts/tally.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tally.sh
unset EYESHOT_ISA
fuzz_seconds=${EYESHOT_FUZZ_SECONDS:-20}

# Returns 1 where there was no time for it.
build_preset() {  # PRESET
  require "$1: configure" cmake --preset "$1" --log-level=WARNING
  require_in_time "$1: build" cmake --build --preset "$1" -j "$(nproc)"
}

# As run_step, where there is time.
run_step_in_time() {  # NAME COMMAND...
  if [[ $(seconds_left) -gt 0 ]]; then
    run_step "$@"
  else
    record "$1, left out" 0 0 1 0
  fi
}

check_asan() {
  build_preset asan || return 0
  ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
    run_ctest "asan, ubsan" build/asan -LE '^(slow|house|cuda)$'
  # The emulated GPU's fibers leave frames behind when they switch, which that option takes for returned ones.
  ASAN_OPTIONS=detect_stack_use_after_return=0 UBSAN_OPTIONS=print_stacktrace=1 \
    run_ctest "asan, ubsan: the emulated GPU" build/asan -L '^cuda$' -LE '^slow$'
}

check_tsan() {
  build_preset tsan || return 0
  # One at a time: their threads spin, and of two tests on two cores each took more than twice as long.
  TSAN_OPTIONS=halt_on_error=1 run_ctest "tsan" build/tsan -j 1 -L '^(tsan|base)$' -LE '^slow$'
}

check_neon() {
  require_in_time "neon: build" scripts/neon.sh || return 0
  EYESHOT_ISA=neon run_ctest "neon under emulation" build/neon \
    -L '^(base|ledger|tensor|kernels|formats|text|vision)$' -LE '^slow$'
  local isa
  for isa in dotprod i8mm; do  # of the CPU that cmake/toolchains/aarch64-linux-gnu.cmake names
    EYESHOT_ISA=$isa run_ctest "kernels again under emulation ($isa)" build/neon -L '^kernels$' -LE '^slow$'
  done
}

check_fuzz() {
  if ! compgen -G 'fuzz/*_fuzz.cc' >/dev/null; then
    record "fuzz: no targets" 0 0 1 0
    return
  fi
  build_preset fuzz || return 0
  local source target
  for source in fuzz/*_fuzz.cc; do
    target=$(basename "$source" .cc)
    run_step_in_time "fuzz: $target" scripts/fuzz.sh "$fuzz_seconds" "$target"
  done
}

# Needs 4.5 GB of disk and 10 GB of memory for the largest.
check_shapes() {
  build_preset release || return 0
  local name
  for name in smolvlm-500m granite-docling smolvlm2-2.2b smolvlm-2.2b; do
    run_step_in_time "parity at true shape: $name" bench/family_parity.sh "$name"
  done
}

check_lint() {
  require "lint: configure" cmake --preset release --log-level=WARNING
  run_step "lint: scripts" shellcheck --external-sources scripts/*.sh .ci/run
  run_step "lint: format" scripts/format.sh --check
  local seconds=${EYESHOT_LINT_SECONDS:-300} left
  left=$(seconds_left)
  run_step_in_time "lint: clang-tidy" python3 scripts/lint.py --seconds $((left < seconds ? left : seconds))
}

parts=("$@")
[[ $# -gt 0 ]] || parts=(asan tsan neon fuzz lint shapes)
require "packages" scripts/setup.sh check
for part in "${parts[@]}"; do
  case $part in
    asan | tsan | neon | fuzz | lint | shapes) "check_$part" ;;
    *) echo "check: no part is named '$part'; there are asan, tsan, neon, fuzz, lint, shapes" >&2; exit 2 ;;
  esac
done
close_tally
