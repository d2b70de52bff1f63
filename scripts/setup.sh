#!/usr/bin/env bash
# Installs what Eyeshot needs from Debian's packages; does nothing, at once, when all of it is there.
#
#   scripts/setup.sh         to build, test and measure
#   scripts/setup.sh check   also for sanitizers, fuzzing, NEON under emulation and lint
#
# EYESHOT_SKIP_SETUP=1 turns it off, for systems that have the libraries from elsewhere.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config git python3 zstd xz-utils ccache mold
  libhwy-dev libfmt-dev nlohmann-json3-dev libcli11-dev
  libjpeg-dev libspng-dev libwebp-dev libgif-dev libzstd-dev
  libavformat-dev libavcodec-dev libavutil-dev libswscale-dev
  libcurl4-openssl-dev libssl-dev libboost-dev
  libgtest-dev libbenchmark-dev
)
check_packages=(
  clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev
  qemu-user g++-aarch64-linux-gnu shellcheck
)

case "${1:-build}" in
  build) ;;
  check) packages+=("${check_packages[@]}") ;;
  *) echo "usage: scripts/setup.sh [check]" >&2; exit 2 ;;
esac
[[ -z "${EYESHOT_SKIP_SETUP:-}" ]] || exit 0

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "setup: this is no Debian system. Install the equivalents of these packages, then set EYESHOT_SKIP_SETUP=1:" >&2
  echo "  ${packages[*]}" >&2
  exit 1
fi

installed=$(dpkg-query --show --showformat '${db:Status-Abbrev}${Package}\n' "${packages[@]}" 2>/dev/null | sed -n 's/^ii *//p' || true)
missing=()
for package in "${packages[@]}"; do
  grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $EUID -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "setup: neither root nor sudo. Run this as root:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
  [[ -t 0 ]] || as_root+=(-n)
fi

echo "setup: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
  cat "$log" >&2
  echo "setup: apt-get failed (its words are above). Eyeshot is built and tested on Debian 12." >&2
  exit 1
fi
