#!/usr/bin/env bash
# Installs a build, then builds and runs a user's program against it, by find_package and pkg-config.
#   package_test.sh BUILD_DIR CXX
set -euo pipefail
build=$1 cxx=$2
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/package" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
[ -n "$(find "$work/prefix/include" -path '*/treadle/http/server.h')" ]

cmake -S "$source" -B "$work/consumer" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
  -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/configure.log" || { cat "$work/configure.log"; exit 1; }
cmake --build "$work/consumer"
"$work/consumer/consumer"
echo "find_package: works"

command -v pkg-config >/dev/null || { echo "no pkg-config here: not tried"; exit 0; }
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name treadle-http.pc)")
export PKG_CONFIG_PATH
read -ra flags < <(pkg-config --cflags --libs treadle-http)
"$cxx" -std=c++23 -o "$work/by-pkg-config" "$source/main.cpp" "${flags[@]}"
"$work/by-pkg-config"
echo "pkg-config: works"
