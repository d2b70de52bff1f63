#!/usr/bin/env bash
# Installs a build into a scratch folder and builds a program against it: by CMake with the static and with the
# shared library, and by pkg-config.   test_install.sh BUILD
set -euo pipefail
build=$1
consumer=$(cd "$(dirname "$0")/consumer" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

cmake --install "$build" --prefix "$prefix" >"$scratch/install.log"
for file in "$prefix"/share/eyeshot/models/eyeshot-tiny/{config.json,tokenizer.json,model.safetensors}; do
  [[ -s "$file" ]] || { echo "not installed: $file"; exit 1; }
done

cmake -S "$consumer" -B "$scratch/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >"$scratch/configure.log"
cmake --build "$scratch/build"
"$scratch/build/consumer_static"
"$scratch/build/consumer_shared"

PKG_CONFIG_PATH=$(find "$prefix" -name pkgconfig -type d)
export PKG_CONFIG_PATH
read -ra flags < <(pkg-config --cflags --libs eyeshot)
g++ -std=c++20 "$consumer/main.cc" -o "$scratch/by_pkg_config" "${flags[@]}"
LD_LIBRARY_PATH=$(pkg-config --variable=libdir eyeshot) "$scratch/by_pkg_config"

if grep -rn "$(cd "$build" && pwd)" "$prefix/lib/cmake" "$prefix/lib/pkgconfig"; then
  echo "the installed package names the build folder"
  exit 1
fi
