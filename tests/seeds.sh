#!/usr/bin/env bash
# The core tests and the stress program under many seeds of the seeded scheduler; names those that
# failed, each with what repeats it.
#   bash tests/seeds.sh                       seeds 1 to 20
#   bash tests/seeds.sh 200 'Chan*:Select*'   more of them, on some of the tests
#   TREADLE_PRESET=tsan bash tests/seeds.sh   or asan, or debug
set -euo pipefail
program=tests/seeds.sh
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/support/setup.sh
. "$top/tests/support/setup.sh"

count=${1:-20}
# What tests the kernel, the usual order or other processes says nothing more under a seed.
filter=${2:-'-*DeathTest*:RevocationLitmus*:WakeupLitmusControl*:Seed*:Cgroup*:Preempt*:Stack*:OsThreadLimit*'}
preset=${TREADLE_PRESET:-release}
build_preset "$preset" treadle-core-tests treadle-stress
bin=$top/build/$preset/bin
log=$(mktemp)
trap 'rm -f "$log"' EXIT

failed=0
run() {
  "$@" >"$log" 2>&1 && return
  failed=$((failed + 1))
  grep -E 'FAILED|Failure|did not end|fatal|SUMMARY|treadle-stress:' "$log" | head -n 10 || true
  echo "failed: TREADLE_SCHED_SEED=$TREADLE_SCHED_SEED TREADLE_MAXPROCS=$TREADLE_MAXPROCS $*"
}

for ((seed = 1; seed <= count; ++seed)); do
  for procs in 1 4; do
    export TREADLE_SCHED_SEED=$seed TREADLE_MAXPROCS=$procs
    run "$bin/treadle-core-tests" --gtest_brief=1 --gtest_filter="$filter"
    [ $# -ge 2 ] || run "$bin/treadle-stress" --seconds 3 --procs "$procs" --seed "$seed"
  done
done
echo "$count seeds, $failed failures"
[ "$failed" -eq 0 ]
