# shellcheck shell=bash
# Sourced by test.sh, check.sh and .ci/run: runs parts, counts their tests, prints the closing line.
#
# With EYESHOT_TALLY set (to a file), the counts are added to that file and the caller closes.

tally_file=${EYESHOT_TALLY:-}
tally_own=$(mktemp)
trap 'rm -f "$tally_own"' EXIT

record() {  # NAME PASSED FAILED SKIPPED SECONDS
  local line
  line=$(printf '%s\t' "$@")
  echo "$line" >>"$tally_own"
  if [[ -n "$tally_file" ]]; then echo "$line" >>"$tally_file"; fi
  printf '== %s: %d passed, %d failed, %d skipped in %d s\n' "$@"
}

# Runs a command that must succeed before anything can be tested. Only its failure counts, as one failed test.
require() {  # NAME COMMAND...
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  if ! "$@"; then
    record "$name" 0 1 0 $((SECONDS - start))
    close_tally
    exit 1
  fi
}

# Runs a command as one test.
run_step() {  # NAME COMMAND...
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    record "$name" 1 0 0 $((SECONDS - start))
  else
    record "$name" 0 1 0 $((SECONDS - start))
  fi
}

# Runs CTest in a build folder. Prints what failed; the whole output stays in BUILD/ctest-NAME.log.
run_ctest() {  # NAME BUILD CTEST-ARGUMENTS...
  local name=$1 build=$2 start=$SECONDS status=0 passed=0 failed=0 skipped=0
  shift 2
  local stem=$PWD/$build/ctest-${name//[^a-zA-Z0-9]/-}
  echo "== $name"
  rm -f "$stem.xml"
  ctest --test-dir "$build" --output-on-failure --no-tests=ignore -j "$(nproc)" --output-junit "$stem.xml" "$@" \
    >"$stem.log" 2>&1 </dev/null || status=$?
  if [[ -f "$stem.xml" ]]; then
    read -r passed failed skipped < <(python3 scripts/count_junit.py "$stem.xml")
  fi
  if [[ $status -ne 0 && $failed -eq 0 ]]; then failed=1; fi
  if [[ $failed -gt 0 ]]; then grep -vE ' (Passed|Start) |^ +Start ' "$stem.log" || true; fi
  record "$name" "$passed" "$failed" "$skipped" $((SECONDS - start))
}

# Prints the sums and the closing line; fails when anything failed or nothing ran.
close_tally() {
  python3 scripts/sum_tally.py "$tally_own" ${tally_file:+--no-closing-line}
}
