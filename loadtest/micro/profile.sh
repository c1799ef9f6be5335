#!/usr/bin/env bash
# Prints where the user-mode instructions of treadle's microbenchmarks go, by callgrind: for each case
# the functions with the most of their own, as instructions of one operation.
#
#   bash loadtest/micro/profile.sh yield-2 ping-pong    these cases (loadtest/micro/run.sh --list)
#   TOP=20 bash loadtest/micro/profile.sh stream        more lines than 8
#
# Exact and repeatable, unlike samples, and no matter what else the machine does; caches and
# read-modify-writes, which may be half of the time, it does not see. Cases that measure delays or
# memory make no sense here.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$(dirname "$here")")
program=loadtest/micro/profile.sh
[ $# -gt 0 ] || { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
# shellcheck source=../../tests/support/setup.sh
. "$top/tests/support/setup.sh"
need_packages "${packages[@]}" libbenchmark-dev libboost-fiber1.81-dev valgrind
grep -qs '^TREADLE_MICRO:BOOL=ON' "$top/build/release/CMakeCache.txt" ||
  (cd "$top" && cmake --preset release -DTREADLE_MICRO=ON) >&2
build_preset release treadle-micro

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in "$@"; do
  TREADLE_MAXPROCS=1 timeout 600 valgrind --tool=callgrind --callgrind-out-file="$work/out" \
    "$top/build/release/bin/treadle-micro" --benchmark_filter="^$name/" --benchmark_min_time=0.001 \
    >"$work/log" 2>&1 || { cat "$work/log" >&2; die "$name failed"; }
  operations=$(awk '/real_time/ {print $6}' "$work/log")
  [ -n "$operations" ] || die "no case $name"
  echo "$name"
  # Lines "1,234 (5.6%)  file:function [object]"; recursion and inlined files are added up.
  callgrind_annotate --auto=no --threshold=99.9 "$work/out" |
    awk -v n="$operations" -v most="${TOP:-8}" '
      /^ *[0-9,]+ \([ 0-9.]+%\)/ && !/PROGRAM TOTALS/ {
        self = $1; gsub(/,/, "", self); all += self
        name = $0; sub(/^ *[0-9,]+ \([ 0-9.]+%\) +[^:]*:/, "", name); sub(/ \[[^]]*\]$/, "", name)
        sub(/\x27[0-9]+$/, "", name); sub(/\(anonymous namespace\)::/, "", name); sub(/\(.*/, "", name)
        gsub(/treadle::|rt::/, "", name); sum[name] += self
      }
      END {
        printf "%9.1f  all\n", all / n
        for (name in sum) printf "%9.1f  %s\n", sum[name] / n, name | "sort -rn | head -n " most
      }'
done
