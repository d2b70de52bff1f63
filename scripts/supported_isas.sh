#!/usr/bin/env bash
# Prints the instruction sets that this machine can run, one a line, weakest first: the values of EYESHOT_ISA.
# The same rule as SupportedIsas() in src/base/cpu.cc.
set -euo pipefail

has() {
  local flag
  for flag in "$@"; do
    grep -qwm1 "$flag" <<<"$flags" || return 1
  done
}

case "$(uname -m)" in
  x86_64)
    flags=$(grep -m1 '^flags' /proc/cpuinfo)
    echo sse2
    if has avx2 fma bmi2; then echo avx2; fi
    if has avx512f avx512bw avx512vl avx512dq; then
      echo avx512
      if has amx_tile amx_int8 amx_bf16; then echo amx; fi
    fi
    ;;
  aarch64)
    flags=$(grep -m1 '^Features' /proc/cpuinfo)
    echo neon
    if has asimddp; then
      echo dotprod
      if has i8mm bf16; then echo i8mm; fi
    fi
    ;;
  *) echo "supported_isas: no kernels are written for $(uname -m)" >&2; exit 1 ;;
esac
