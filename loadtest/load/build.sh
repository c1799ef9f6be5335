#!/usr/bin/env bash
# Builds the load generators into DIR:  loadtest/load/build.sh DIR
#
# Plain programs over epoll and OpenSSL, without a line of treadle: what measures a server must not
# share its mistakes, nor its speed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
program=loadtest/load/build.sh
# shellcheck source=../../tests/support/setup.sh
. "$here/../../tests/support/setup.sh"
[ $# -eq 1 ] || die "needs the folder to build into, and nothing else"
need_packages g++ libssl-dev
mkdir -p "$1"

parts=("$here"/{flags,samples,stream,response,driver,keep_alive}.cpp)
for name in rate churn handshakes hold; do
  # What is newer than every source stays as it is.
  if [ -x "$1/$name" ] && [ -z "$(find "$here" \( -name '*.cpp' -o -name '*.h' \) -newer "$1/$name")" ]; then
    continue
  fi
  g++ -std=c++20 -O2 -g1 -Wall -Wextra -Werror -o "$1/$name" "$here/$name.cpp" "${parts[@]}" -lssl -lcrypto ||
    die "$name does not build, see above"
done
