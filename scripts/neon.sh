#!/usr/bin/env bash
# Cross-builds the tests of the rooms up to vision for aarch64 into build/neon; CTest then runs them under qemu.
# Not those of media: the goldens of malformed JPEGs hold what libjpeg-turbo makes of them on x86, and NEON's differs.
# Without videos, since FFmpeg's libraries need a hundred others, and without the server, whose tests would say nothing new.
#
# The arm64 libraries come from Debian's arm64 packages, unpacked into build/neon-sysroot with an apt state of its
# own: nothing is installed, and the system's list of architectures stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
sysroot=$PWD/build/neon-sysroot
packages=(
  libhwy-dev libhwy1 libfmt-dev libfmt9 libgtest-dev nlohmann-json3-dev libcli11-dev
  libjpeg62-turbo-dev libjpeg62-turbo libspng-dev libspng0 libwebp-dev libwebp7 libgif-dev libgif7
  libzstd-dev libzstd1 zlib1g-dev zlib1g libcurl4-openssl-dev libcurl4
  libssl-dev libssl3
)

if [[ "$(cat "$sysroot/packages" 2>/dev/null)" != "${packages[*]}" ]]; then
  rm -rf "$sysroot"
  mkdir -p "$sysroot"/apt/{lists,cache/archives}/partial "$sysroot/debs"
  touch "$sysroot/apt/status"
  cat >"$sysroot/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Sandbox::User "root";
Dir::State "$sysroot/apt";
Dir::State::status "$sysroot/apt/status";
Dir::Cache "$sysroot/apt/cache";
CONF
  export APT_CONFIG=$sysroot/apt.conf
  apt-get -qq update
  (cd "$sysroot/debs" && apt-get -qq download "${packages[@]}")
  for deb in "$sysroot"/debs/*.deb; do dpkg -x "$deb" "$sysroot"; done
  rm -rf "$sysroot/debs" "$sysroot/apt"
  echo "${packages[*]}" >"$sysroot/packages"
fi

export PKG_CONFIG_SYSROOT_DIR=$sysroot
export PKG_CONFIG_LIBDIR=$sysroot/usr/lib/aarch64-linux-gnu/pkgconfig:$sysroot/usr/share/pkgconfig
cmake -S . -B build/neon -G Ninja --log-level=WARNING -DCMAKE_BUILD_TYPE=Release -DEYESHOT_BENCH=OFF \
  -DEYESHOT_VIDEO=OFF -DEYESHOT_SERVER=OFF -DCMAKE_TOOLCHAIN_FILE=cmake/toolchains/aarch64-linux-gnu.cmake -DEYESHOT_SYSROOT="$sysroot"

targets=()
for room in base ledger tensor kernels formats text vision; do
  if grep -q "^build ${room}_test: phony" build/neon/build.ninja; then targets+=("${room}_test"); fi
done
cmake --build build/neon -j "$(nproc)" --target "${targets[@]}"
