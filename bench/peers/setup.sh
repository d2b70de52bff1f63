#!/usr/bin/env bash
# Makes the folder that bench/peers/run.py takes the peers from: a virtual environment of pinned packages from PyPI,
# and llama-cpp-python built from its source by clang-19, for this machine and for the smaller instruction sets.
#
#   bench/peers/setup.sh [DIR]     DIR is build/peers unless given
#
# Can be run again: what is there is kept. A peer that cannot be installed is left out and its reason noted in
# DIR/failed/PEER, where run.py finds it. PYTHON names the interpreter (3.11 or later), JOBS the compilations at once.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(realpath -m "${1:-$here/../../build/peers}")
pins=$here/requirements.txt
llama=$(grep '^llama-cpp-python==' "$pins")
jobs=${JOBS:-$(nproc)}
mkdir -p "$dir/failed" "$dir/logs" "$dir/stamps"

say() { echo "setup: $*" >&2; }

# The line of a log that most likely says what went wrong.
reason() {
  { grep -iE 'error|not found|no matching' "$1" || tail -n 1 "$1"; } | tail -n 1 | cut -c1-200
}

# attempt PEER KEY COMMAND...: does once what KEY names; a failure takes this peer away, no other.
attempt() {
  local peer=$1 key=$2 log=$dir/logs/$1.log start=$SECONDS
  shift 2
  if [[ -f $dir/stamps/$peer && $(<"$dir/stamps/$peer") == "$key" ]]; then
    say "$peer: there already"
    return
  fi
  rm -f "$dir/failed/$peer" "$dir/stamps/$peer"
  if "$@" >"$log" 2>&1; then
    echo "$key" >"$dir/stamps/$peer"
    say "$peer: $((SECONDS - start)) s"
  else
    reason "$log" >"$dir/failed/$peer"
    say "$peer FAILED after $((SECONDS - start)) s: $(<"$dir/failed/$peer") ($log has the rest)"
  fi
}

pip() { "$dir/venv/bin/python" -m pip --disable-pip-version-check "$@"; }

make_venv() {
  "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "older than Python 3.11")'
  [[ -x $dir/venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$dir/venv"
}

# install PEER PACKAGE...: from PyPI, at the versions of requirements.txt.
install() {
  local peer=$1
  shift
  attempt "$peer" "$* $(sha256sum <"$pins")" pip install --quiet --prefer-binary --constraint "$pins" "$@"
}

cpu_has() { grep -qw "$1" /proc/cpuinfo; }
on_if() { if cpu_has "$1"; then echo ON; else echo OFF; fi; }

# clang's OpenMP from Debian's packages, unpacked and not installed: the package would replace other versions.
unpack_openmp() {
  [[ -e $dir/openmp/usr/lib/llvm-19/lib/libomp.so.5 ]] && return
  local packages
  packages=$(mktemp -d)
  (cd "$packages" && apt-get download -qq libomp-19-dev libomp5-19) || return 1
  for package in "$packages"/*.deb; do dpkg -x "$package" "$dir/openmp"; done
  rm -r "$packages"
}

# build_llama NAME CMAKE_OPTION...: into a folder of its own, since each build is a package of the same name.
build_llama() {
  local target=$dir/llama-$1 openmp=$dir/openmp/usr/lib/llvm-19/lib
  shift
  rm -rf "$target"
  command -v clang-19 clang++-19 || { echo "error: clang-19 is missing: apt-get install clang-19"; return 1; }
  local options=("$@" -DLLAMA_OPENSSL=OFF)
  if unpack_openmp; then
    options+=("-DOpenMP_omp_LIBRARY=$openmp/libomp.so.5")
  else
    options+=(-DGGML_OPENMP=OFF)
  fi
  CC=clang-19 CXX=clang++-19 CPATH=$openmp/clang/19/include LIBRARY_PATH=$openmp CMAKE_ARGS="${options[*]}" \
    CMAKE_BUILD_PARALLEL_LEVEL=$jobs \
    "$dir/venv/bin/python" -m pip --disable-pip-version-check install --verbose --no-deps --no-binary :all: \
    --no-cache-dir --target "$target" "$llama" || return 1
  [[ ! -e $openmp/libomp.so.5 ]] || cp -L "$openmp/libomp.so.5" "$target/llama_cpp/lib/"
  PYTHONPATH=$target "$dir/venv/bin/python" -c 'import llama_cpp.mtmd_cpp'
  echo "clang $(clang-19 -dumpversion)" >"$target/built-by.txt"
}

llama() {
  local name=$1
  shift
  attempt "llama-$name" "$llama $*" build_llama "$name" "$@"
}

attempt venv 1 make_venv
[[ ! -f $dir/failed/venv ]] || exit 1
install transformers torch torchvision transformers tokenizers safetensors pillow num2words jinja2 numpy
install openvino openvino nncf tokenizers pillow numpy
install onnxruntime onnxruntime onnx onnxscript numpy
install gguf gguf numpy
install llama-needs diskcache jinja2 numpy
llama native
llama avx2 -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX512=OFF \
  "-DGGML_AVX_VNNI=$(on_if avx_vnni)"
# Without AMX this would be the native build once more.
if cpu_has amx_tile; then
  llama avx512 -DGGML_NATIVE=OFF -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON "-DGGML_AVX512_VNNI=$(on_if avx512_vnni)" \
    "-DGGML_AVX512_BF16=$(on_if avx512_bf16)"
fi
say "all of it: $SECONDS s, $(du -sh "$dir" | cut -f1) in $dir"
