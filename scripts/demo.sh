#!/usr/bin/env bash
# `make demo`: asks the built-in model about the pictures of demo/ and shows what each answer cost.
# EYESHOT=PROGRAM takes another program than the release build.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
eyeshot=${EYESHOT:-$root/build/release/src/cli/eyeshot}
if [[ ! -x "$eyeshot" ]]; then
  echo "demo: $eyeshot is not built: run 'make demo', or name a program with EYESHOT=" >&2
  exit 1
fi
cd "$root/demo"
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

ask() {  # QUESTION [FLAGS AND] PICTURES...
  local question=$1
  shift
  echo "${bold}$*${plain}"
  echo "  question: $question"
  echo -n "  answer:   "
  "$eyeshot" ask "$@" "$question" 2>&1 | sed '2,$s/^/  /'
  echo
}

start=$(date +%s.%N)
ask "What is the total?" receipt.png
ask "What does the sign say?" sign.png
ask "How many bars does the chart have?" chart.png
ask "How many blue shapes are there?" shapes.png
ask "What is this?" clipart.png
ask "What changed?" before.png after.png
ask "What happens in the video?" --frames clip_{1..8}.png
awk -v start="$start" -v end="$(date +%s.%N)" \
  'BEGIN { printf "7 questions about 5 pictures, a pair and a clip of 8 frames in %.1f s, loading included.\n", end - start }'
echo "The built-in model is a demonstrator of 29 million parameters: see models/eyeshot-tiny/README.md."
