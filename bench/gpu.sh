#!/usr/bin/env bash
# Eyeshot on a machine with an NVIDIA GPU, which may have neither a network nor more than nvcc, CMake, Ninja and Python:
#
#   bench/gpu.sh pack        here: builds what has to travel, into build/gpu/pack.tar.xz (at most 8 MiB)
#   bench/gpu.sh run [OUT]   there, beside that file: tests, measures and compares, in under 9 minutes
#
# `run` writes gpu.json, gpu.md (the table) and gpu.log to OUT (build/gpu/out without it). It reads clocks and power, and
# changes neither. A step that fails or takes too long is in the table with its reason; the run goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/gpu
most_bytes=$((8 << 20))
seconds=${EYESHOT_GPU_SECONDS:-510}

# Shared libraries of a program that no machine has by itself.
own_libraries() {  # PROGRAM...
  ldd "$@" | awk '$3 ~ "^/" { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libstdc\+\+|libgcc_s|libdl|libpthread|librt|libcublasLt|libcuda)\.so'
}

pack() {
  cmake --preset gpu --log-level=WARNING >/dev/null
  cmake --build --preset gpu --target eyeshot_program eyeshot_cuda gpu_peak gpu_operations parity_family_cuda cuda_test -j "$(nproc)" >&2
  local stage=$build/pack
  rm -rf "$stage"
  local libraries
  libraries=$(dirname "$(find /usr/lib -name libgtest.a | head -1)")
  local deps=$stage/deps$libraries
  mkdir -p "$stage"/{bin,lib} "$stage/deps/usr/include" "$deps/cmake"
  local programs=("$build"/src/cli/{eyeshot,libeyeshot_cuda.so} "$build"/bench/gpu_{peak,operations} "$build"/tests/parity/parity_family_cuda
    "$build"/src/kernels/cuda/cuda_test)
  local program
  for program in "${programs[@]}"; do strip -o "$stage/bin/$(basename "$program")" "$program"; done
  own_libraries "${programs[@]}" | xargs cp -L -t "$stage/lib"
  # To build the kernels alone: their three libraries.
  cp -r /usr/include/{fmt,hwy,gtest,gmock} "$stage/deps/usr/include"
  cp -L "$libraries"/lib{gtest,gtest_main,gmock,gmock_main}.a "$libraries"/libfmt.so* "$libraries"/libhwy.so* "$deps"
  cp -r "$libraries"/cmake/{fmt,GTest} "$deps/cmake"
  pwd >"$stage/source_folder"
  tar -C "$stage" -cJf "$build/pack.tar.xz" .
  local bytes
  bytes=$(stat -c %s "$build/pack.tar.xz")
  echo "$build/pack.tar.xz: $bytes bytes" >&2
  if ((bytes > most_bytes)); then
    echo "gpu: that is more than $most_bytes bytes, which is what travels beside the tree" >&2
    exit 1
  fi
}

case "${1-}" in
  pack) pack ;;
  run) exec python3 bench/gpu/run.py --seconds "$seconds" --pack "$build/pack.tar.xz" --out "${2-$build/out}" ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
