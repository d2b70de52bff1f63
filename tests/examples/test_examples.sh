#!/usr/bin/env bash
# Installs a build into a scratch folder, builds examples/ against it and runs them.   test_examples.sh BUILD
set -euo pipefail
build=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

cmake --install "$build" --prefix "$prefix" >"$scratch/install.log"
cmake -S "$root/examples" -B "$scratch/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release \
  >"$scratch/configure.log"
cmake --build "$scratch/build"

expect() {  # NAME WANTED COMMAND...
  local name=$1 wanted=$2 got
  shift 2
  got=$("$@")
  if [[ $(head -n 1 <<<"$got") != "$wanted" ]]; then
    printf '%s: answered\n%s\ninstead of %s\n' "$name" "$got" "$wanted"
    exit 1
  fi
  echo "$name: $wanted"
}

model=$prefix/share/eyeshot/models/eyeshot-tiny
for program in ask_c ask_cc ask_c_shared ask_cc_shared; do
  # The first piece of an answer is streamed; the table or JSON of stages follows it.
  expect $program "\$18.36" "$scratch/build/$program" "$model" "$root/demo/receipt.png" "What is the total?"
done
if "$scratch/build/ask_c" "$model" /nowhere.png "What?" 2>"$scratch/error"; then
  echo "ask_c: a missing picture is no error"
  exit 1
fi
grep -q /nowhere.png "$scratch/error"

# The installed program finds the installed model, wherever the prefix is.
cd /
unset EYESHOT_MODEL
expect "installed eyeshot" "\$18.36" "$prefix/bin/eyeshot" ask --quiet "$root/demo/receipt.png" "What is the total?"
if ldd "$scratch/build/ask_c_shared" | grep -q "not found"; then
  echo "ask_c_shared: a library is not found"
  exit 1
fi
