#!/usr/bin/env bash
# Builds the fuzzers and runs each for a while, as many at a time as there are CPUs.
#   bash tests/fuzz/run.sh                    every target for 60 s
#   bash tests/fuzz/run.sh 300                every target for 5 minutes
#   bash tests/fuzz/run.sh 300 parser glue    these only
#   bash tests/fuzz/run.sh build              builds them only
#   bash tests/fuzz/run.sh minimise           adds the best of what was new to the corpora
# Ends with 1 when one of them found something, and says how to see it again. What is merely new
# goes into build/fuzz/new/, from which the next run starts too. A finding becomes a test in
# tests/http once it is mended.
set -euo pipefail
program=tests/fuzz/run.sh
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/support/setup.sh
. "$top/tests/support/setup.sh"

build=$top/build/fuzz
corpora=$top/tests/fuzz/corpus
max_len=4096 # bytes of an input: larger ones are slower, and find the same

# Bounds for one input: a hang, a leak that grows, one allocation out of proportion.
bounds=(-max_len="$max_len" -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=256)

# Runs one target; what it prints goes to its log, but for a line.
fuzz() {
  local name=$1 seconds=$2
  local binary=$build/bin/treadle-fuzz-$name log=$build/fuzz-$name.log
  local new=$build/new/$name findings=$build/findings/$name
  mkdir -p "$new" "$findings"
  local seeds=("$new")
  [ ! -d "$corpora/$name" ] || seeds+=("$corpora/$name")
  local status=0
  # The targets' own time, and the fuzzer's end in any case.
  timeout --signal=KILL $((seconds + 120)) \
    "$binary" "${bounds[@]}" -max_total_time="$seconds" -print_final_stats=1 \
    -dict="$top/tests/fuzz/http.dict" -artifact_prefix="$findings/" "${seeds[@]}" \
    >"$log" 2>&1 || status=$?
  local runs
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  if [ "$status" -eq 0 ]; then
    printf '%-10s passed  %10s inputs\n' "$name" "${runs:-?}"
    return 0
  fi
  {
    printf '%-10s FAILED  (exit status %d); the end of its output:\n' "$name" "$status"
    tail -n 60 "$log"
    local found
    for found in "$findings"/*; do
      [ ! -f "$found" ] || printf 'again with: %s %s\n' "$binary" "$found"
    done
  } >&2
  return 1
}

# Adds to a corpus the fewest short inputs that reach code which it does not; what is there stays.
minimise() {
  local name=$1
  mkdir -p "$corpora/$name" "$build/new/$name"
  "$build/bin/treadle-fuzz-$name" -set_cover_merge=1 -use_counters=0 "${bounds[@]}" -max_len=512 \
    "$corpora/$name" "$build/new/$name" >"$build/merge-$name.log" 2>&1 ||
    die "merging $name failed, see $build/merge-$name.log"
  printf '%-10s %s inputs\n' "$name" "$(find "$corpora/$name" -type f | wc -l)"
}

seconds=60
action=fuzz
if [ "${1:-}" = minimise ] || [ "${1:-}" = build ]; then
  action=$1
  shift
elif [ $# -gt 0 ]; then
  seconds=$1
  shift
fi
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "\"$seconds\" is no number of seconds"

need_packages "${packages[@]}" clang-19 libclang-rt-19-dev llvm-19
build_preset fuzz treadle-fuzzers
[ "$action" != build ] || exit 0
mapfile -t known <"$build/fuzzers.txt"
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${known[@]}")
for name in "${names[@]}"; do
  [[ " ${known[*]} " == *" $name "* ]] || die "no target \"$name\" among: ${known[*]}"
done
if [ "$action" = minimise ]; then
  for name in "${names[@]}"; do minimise "$name"; done
  exit
fi

begin=$SECONDS
export -f fuzz
export build corpora top
declare -p bounds >"$build/bounds.sh" # arrays are not exported
printf '%s\n' "${names[@]}" |
  xargs -P "$(nproc)" -I NAME bash -c ". '$build/bounds.sh'; fuzz NAME $seconds" ||
  die "something was found, see above"
echo "$program: ${#names[@]} targets, $seconds s each: nothing found in $((SECONDS - begin)) s"
