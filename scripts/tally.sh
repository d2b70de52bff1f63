# shellcheck shell=bash
# Sourced by test.sh, check.sh and .ci/run: runs parts, counts their tests, prints the closing line.
#
# With EYESHOT_TALLY set (to a file), the counts are added to that file and the caller closes. With EYESHOT_DEADLINE set
# (seconds of the epoch), run_ctest and require_in_time leave out what they can't begin or build before it, and count it as
# skipped; tests then run in a random order, so that all have their turn in the end.

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

grace_s=120  # that tests which have begun before the deadline have to end

seconds_left() {
  echo $((${EYESHOT_DEADLINE:-99999999999} - $(date +%s)))
}

# Runs a command until the deadline and some seconds more; returns 124 where it did not end by then.
in_time() {  # MORE-SECONDS COMMAND...
  local more=$1 status=0
  shift
  if [[ -z "${EYESHOT_DEADLINE:-}" ]]; then
    "$@"  # not by `timeout`, under which Ctrl-C does not reach it
    return
  fi
  timeout --kill-after=10 $(($(seconds_left) + more)) "$@" || status=$?
  return $((status == 137 ? 124 : status))
}

# Nothing can be tested without what failed.
end_without() {  # NAME SECONDS
  record "$1" 0 1 0 "$2"
  close_tally
  exit 1
}

# Runs a command that must succeed before anything can be tested. Only its failure counts, as one failed test.
require() {  # NAME COMMAND...
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@" || end_without "$name" $((SECONDS - start))
}

# As `require`, but returns 1 where the command did not end before the deadline.
require_in_time() {  # NAME COMMAND...
  local name=$1 start=$SECONDS status=0
  shift
  if [[ $(seconds_left) -le 0 ]]; then
    record "$name, left out" 0 0 1 0
    return 1
  fi
  echo "== $name"
  in_time 1 "$@" || status=$?  # a limit of 0 would be none
  if [[ $status -eq 124 ]]; then
    record "$name, out of time" 0 0 1 $((SECONDS - start))
    return 1
  fi
  [[ $status -eq 0 ]] || end_without "$name" $((SECONDS - start))
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

# Runs CTest once; adds to the caller's passed, failed and skipped. Prints what failed. Returns 1 where it did not end in
# time: only what had failed by then is added, and its tests are named, since one may hang.
ctest_once() {  # STEM BUILD CTEST-ARGUMENTS...
  local stem=$1 build=$2 status=0 counts
  shift 2
  rm -f "$stem.xml" "$stem.part"
  in_time "$grace_s" ctest --test-dir "$build" --output-on-failure --no-tests=ignore -j "$(nproc)" \
    --output-junit "$stem.xml" "$@" >"$stem.part" 2>&1 </dev/null || status=$?
  cat "$stem.part" >>"$stem.log"
  if [[ $status -eq 124 ]]; then
    failed=$((failed + $(grep -cE '\*\*\*(Failed|Exception|Timeout)' "$stem.part" || true)))
    grep -E '\*\*\*(Failed|Exception|Timeout)|^ +Start ' "$stem.part" || true
    return 1
  fi
  counts=(0 0 0)
  if [[ -f "$stem.xml" ]]; then
    read -ra counts < <(python3 scripts/count_junit.py "$stem.xml")
  fi
  if [[ $status -ne 0 && ${counts[1]} -eq 0 ]]; then counts[1]=1; fi
  if [[ ${counts[1]} -gt 0 ]]; then grep -vE ' (Passed|Start) |^ +Start ' "$stem.part" || true; fi
  rm "$stem.part"
  passed=$((passed + counts[0]))
  failed=$((failed + counts[1]))
  skipped=$((skipped + counts[2]))
}

# Runs CTest in a build folder. Prints what failed; the whole output stays in BUILD/ctest-NAME.log.
run_ctest() {  # NAME BUILD CTEST-ARGUMENTS...
  local name=$1 build=$2 start=$SECONDS passed=0 failed=0 skipped=0
  shift 2
  local stem=$PWD/$build/ctest-${name//[^a-zA-Z0-9]/-}
  echo "== $name"
  : >"$stem.log"
  if [[ -z "${EYESHOT_DEADLINE:-}" ]]; then
    ctest_once "$stem" "$build" "$@"
  else
    local numbers at=0 slice begun
    slice=$(nproc)
    mapfile -t numbers < <(ctest --test-dir "$build" -N "$@" | sed -nE 's/^ *Test +#([0-9]+):.*/\1/p' | shuf)
    while [[ $at -lt ${#numbers[@]} && $(seconds_left) -gt 0 ]]; do
      begun=$SECONDS
      ctest_once "$stem" "$build" "$@" -I "$(IFS=,; echo "0,0,0,${numbers[*]:at:slice}")" || break
      at=$((at + slice))
      # Short tests in larger slices, since CTest takes a while to begin.
      if [[ $((SECONDS - begun)) -lt 5 ]]; then slice=$((2 * slice)); else slice=$(nproc); fi
    done
    local left=$((${#numbers[@]} - passed - failed - skipped))
    if [[ $left -gt 0 ]]; then
      echo "== $name: $left tests are left out for want of time"
      skipped=$((skipped + left))
    fi
  fi
  record "$name" "$passed" "$failed" "$skipped" $((SECONDS - start))
}

# Prints the sums and the closing line; fails when anything failed or nothing ran.
close_tally() {
  python3 scripts/sum_tally.py "$tally_own" ${tally_file:+--no-closing-line}
}
