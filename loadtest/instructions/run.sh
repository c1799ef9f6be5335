#!/usr/bin/env bash
# Counts the instructions of one request and of one operation of the scheduler, by callgrind.
#
#   bash loadtest/instructions/run.sh                     every case, beside baseline.txt
#   bash loadtest/instructions/run.sh plaintext gosched   only these
#   bash loadtest/instructions/run.sh --list              what there is
#   bash loadtest/instructions/run.sh --update [CASE...]  the baseline becomes what is counted now
#   bash loadtest/instructions/run.sh --profile CASE      the 40 functions with the most of their own
#
#   --top N     with --profile: so many functions
#
# Exit code 1: a case is above the baseline by more than its tolerance, or could not be counted.
# 3: the baseline was made with another compiler, other flags, or another C library.
#
# Only instructions in user space count: what the kernel does for a system call is not seen, nor what
# a cache miss or an atomic operation costs. Counted is the one thread that runs goroutines.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$(dirname "$here")")
program=loadtest/instructions/run.sh
tool=$top/build/release/bin/treadle-instructions

usage() { echo "$program: $*" >&2; exit 2; }

profile='' update='' most=40 list=''
cases=()
while [ $# -gt 0 ]; do
  case $1 in
    --profile) [ $# -ge 2 ] || usage "--profile needs a case"; profile=1; cases+=("$2"); shift 2 ;;
    --top)
      [ $# -ge 2 ] || usage "--top needs a number"
      [[ $2 =~ ^[1-9][0-9]*$ ]] || usage "--top needs a positive number, not '$2'"
      most=$2; shift 2 ;;
    --update) update=1; shift ;;
    --list) list=1; shift ;;
    -h|--help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    -*) usage "unknown option $1 (see --help)" ;;
    *) cases+=("$1"); shift ;;
  esac
done

# shellcheck source=../../tests/support/setup.sh
. "$top/tests/support/setup.sh"
need_packages "${packages[@]}" valgrind python3
build_preset release treadle-instructions
known=$("$tool" --list)
[ -z "$list" ] || { echo "$known"; exit 0; }
for name in "${cases[@]}"; do
  grep -qxF -e "$name" <<<"$known" || usage "unknown case $name (see --list)"
done
[ -z "$profile" ] || [ -z "$update" ] || usage "--profile and --update do not go together"
mode=compare
[ -z "$update" ] || mode=update
if [ ${#cases[@]} -eq 0 ]; then
  mapfile -t cases <<<"$known"
  [ -z "$update" ] || mode=replace
fi

work=$(mktemp -d)
child=
trap '[ -z "$child" ] || kill "$child" 2>/dev/null || true; rm -rf "$work"' EXIT

# Runs a case under callgrind, which leaves $work/out.1 (n operations) and $work/out.2 (2 n).
operations=
run_case() { # name
  rm -f "$work"/out*
  TMPDIR=$work timeout -k 5 60 valgrind --tool=callgrind --collect-atstart=no \
    --callgrind-out-file="$work/out" "$tool" "$1" >"$work/log" 2>&1 &
  child=$!
  local code=0
  wait "$child" || code=$?
  child=
  operations=$(sed -n 's/^operations=//p' "$work/log")
  if [ "$code" -ne 0 ] || [ -z "$operations" ] || [ ! -s "$work/out.2" ]; then
    cat "$work/log" >&2
    [ "$code" -ne 124 ] || die "$1 took more than 60 s"
    die "$1 ended with $code and was not counted"
  fi
}

if [ -n "$profile" ]; then
  for name in "${cases[@]}"; do
    run_case "$name"
    echo "$name: instructions of one operation, by function"
    python3 "$here/callgrind.py" profile "$work/out.2" "$operations" "$most"
  done
  exit
fi

{ "$tool" --about; valgrind --version | sed 's/-/: /'; } >"$work/head"
for name in "${cases[@]}"; do
  run_case "$name"
  each=$(python3 "$here/callgrind.py" count "$work/out.1" "$work/out.2" "$operations")
  echo "$name $each" >>"$work/counts"
done
python3 "$here/callgrind.py" $mode "$here/baseline.txt" "$work/counts" "$work/head"
