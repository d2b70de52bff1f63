#!/bin/sh
# Makes all goldens again: make.sh CHECKPOINTS MEDIA MODEL WORK
# CHECKPOINTS, MEDIA and MODEL are the input folders that README.md describes, WORK takes the seeded checkpoint (513 MB).
# PYTHON names the interpreter of an environment with requirements.txt (default: python3).
set -eu
if [ $# -ne 4 ]; then
  sed -n '2,4p' "$0" >&2
  exit 2
fi
checkpoints=$1 media=$2 model=$3 work=$4
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../data/golden
python=${PYTHON:-python3}
mkdir -p "$out"
"$python" "$here/checkpoint.py" --config "$checkpoints/SmolVLM-256M-Instruct" --seed 1 --golden "$out/checkpoint.json"
"$python" "$here/prompts.py" --checkpoints "$checkpoints" --media "$media" --model "$model" --out "$out/prompts.json"
zstd -19 --quiet --force --rm "$out/prompts.json"
"$python" "$here/prompts_family.py" --checkpoints "$checkpoints" --out "$out/prompts-family.json.zst"
"$python" "$here/templates.py" --checkpoints "$checkpoints" --out "$out/templates.json.zst"
"$python" "$here/tokenizer.py" --checkpoints "$checkpoints" --model "$model" --out "$out/tokenizer"
"$python" "$here/true_shape.py" --checkpoints "$checkpoints" --media "$media" --work "$work" --out "$out/smolvlm-256m"
