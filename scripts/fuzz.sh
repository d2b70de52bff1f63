#!/usr/bin/env bash
# Runs fuzz targets for a time each:  scripts/fuzz.sh SECONDS [TARGET...]   (after `cmake --build --preset fuzz`)
#
# A target's corpus is fuzz/corpus/NAME (committed, kept small) plus files of tests/data that its fuzz/NAME.seeds
# names, one glob a line. New inputs go to build/fuzz/corpus/NAME. A crash fails and names its reproducer.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s globstar nullglob
if [[ $# -eq 0 ]]; then echo "usage: scripts/fuzz.sh SECONDS [TARGET...]" >&2; exit 2; fi
seconds=$1
shift
targets=("$@")
if [[ $# -eq 0 ]]; then
  for path in build/fuzz/fuzz/*_fuzz; do targets+=("${path##*/}"); done
fi
# An input that takes more memory than this is a finding: every parser has limits.
memory_mib=2048

failed=()
for target in "${targets[@]}"; do
  program=build/fuzz/fuzz/$target
  if [[ ! -x "$program" ]]; then echo "fuzz: $program is not built: cmake --build --preset fuzz" >&2; exit 1; fi
  corpus=build/fuzz/corpus/$target
  mkdir -p "$corpus" build/fuzz/crashes
  seeds=(fuzz/corpus/"$target"/*)
  if [[ -f "fuzz/$target.seeds" ]]; then
    while read -r pattern; do
      for file in $pattern; do seeds+=("$file"); done
    done <"fuzz/$target.seeds"
  fi
  # Small ones only; copied under their checksum, since several folders may hold the same name.
  for seed in "${seeds[@]}"; do
    if [[ -f "$seed" && $(stat -c %s "$seed") -le 262144 ]]; then
      cp "$seed" "$corpus/seed-$(sha1sum <"$seed" | cut -c1-16)"
    fi
  done
  log=build/fuzz/$target.log
  if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=$memory_mib -print_final_stats=1 \
      -artifact_prefix="build/fuzz/crashes/$target-" "$corpus" >"$log" 2>&1 </dev/null; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz: $target: ${runs:-0} inputs, ${#seeds[@]} seeds, nothing found"
  else
    tail -n 60 "$log"
    reproducer=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    echo "fuzz: $target FAILED; reproduce with: $program ${reproducer:-(no input was written: see $log)}"
    failed+=("$target")
  fi
done
[[ ${#failed[@]} -eq 0 ]]
