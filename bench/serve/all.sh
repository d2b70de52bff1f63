#!/usr/bin/env bash
# Everything that bench/serve measures of the server, into JSON files and one table, in about 40 minutes on 2 idle
# cores, twice that where they lack AVX-512:
#   bench/serve/all.sh OUT [STEP...]
# Steps, all by default: stall throughput clients equal replay curve soak connects faults capacity. Built-in model and
# SmolVLM-256M's shape. PROGRAM and MODEL_256M name others than the release build's; SOAK_MINUTES is 3; PEER_TILES and
# PEER_WHOLE are the command lines of a peer's server at port 8091 (bench/serve/against_llama.py).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?where results go}
shift
steps=("$@")
[[ $# -gt 0 ]] || steps=(stall throughput clients equal replay curve soak connects faults capacity)
program=${PROGRAM:-$here/../../build/release/src/cli/eyeshot}
shape=${MODEL_256M:-$("$here/../seeded_model.sh" SmolVLM-256M-Instruct)}
mkdir -p "$out"

run() {  # NAME TOOL [FLAG...]
  local name=$1 tool=$2 begin=$SECONDS
  shift 2
  echo "== $name"
  rm -f "$out/$name.json"
  python3 "$here/$tool.py" --program "$program" --out "$out/$name.json" "$@" 2>&1 | tee "$out/$name.txt" || true
  echo "   $((SECONDS - begin)) s"
}

step() {
  case $1 in
    stall)
      run stall-built-in stall
      run stall-256m-int8 stall --model "$shape" --precision int8 --every 5 --rounds 1
      run stall-256m-bf16 stall --model "$shape" --precision bf16 --every 5 --rounds 1
      ;;
    throughput)
      run throughput-built-in throughput
      run throughput-256m-int8 throughput --model "$shape" --precision int8
      run throughput-256m-bf16 throughput --model "$shape" --precision bf16
      ;;
    clients)
      peer=()
      [[ -z ${PEER_TILES-} ]] || peer+=(--peer-tiles "$PEER_TILES")
      [[ -z ${PEER_WHOLE-} ]] || peer+=(--peer-whole "$PEER_WHOLE")
      run clients-256m-bf16 against_llama --model "$shape" --precision bf16 "${peer[@]}"
      [[ ${#peer[@]} -eq 0 ]] || peer=(--peer-from "$out/clients-256m-bf16.json")
      run clients-256m-int8 against_llama --model "$shape" --precision int8 "${peer[@]}"
      ;;
    equal)
      run equal-built-in-reference equal_answers --requests 60 --repeat 1
      run equal-built-in-exact equal_answers --fast --precision exact
      run equal-built-in-bf16 equal_answers --fast --precision bf16
      run equal-256m-bf16 equal_answers --fast --precision bf16 --model "$shape" --requests 40 --repeat 1
      ;;
    replay) run replay-built-in replay --clients 1,8,64 --threads 1,2 --seconds 20 --rate 0.05 ;;
    curve) run curve-256m-int8 replay --ttft-curve --model "$shape" --precision int8 --repeat 3 ;;
    soak) run soak-built-in replay --soak "${SOAK_MINUTES:-3}" ;;
    connects) run connects-built-in faults --connects ;;
    faults) run faults-built-in faults ;;
    capacity)
      run capacity-built-in capacity --threads 1,2
      run capacity-256m-int8 capacity --threads 1,2 --model "$shape" --precision int8
      python3 "$here/capacity.py" --from "$out"/capacity-*.json | tee "$out/capacity.md"
      ;;
    *) echo "no step $1" >&2 && exit 2 ;;
  esac
}

for name in "${steps[@]}"; do step "$name"; done
python3 "$here/table.py" "$out" | tee "$out/table.txt"
