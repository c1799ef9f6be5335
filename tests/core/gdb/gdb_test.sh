#!/usr/bin/env bash
# The gdb script on a live program, under gdb and attached to, and on a core file.
# usage: gdb_test.sh SAMPLE SCRIPT
set -euo pipefail
sample=$1 script=$2

work=$(mktemp -d)
pid=
finish() {
  if [ -n "$pid" ]; then
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "gdb_test: $1" >&2
  cat "$2" >&2
  exit 1
}
expect() {  # file, pattern, what it is to show
  grep -Eq -- "$2" "$1" || fail "$3: no line matches $2" "$1"
}
check() {  # file, how
  expect "$1" '^goroutine [0-9]+ \[chan receive.*"waits" \{number=2\} created at .*sample.cpp:[0-9]+' "$2, info goroutines"
  expect "$1" '^goroutine [0-9]+ \[sleep.* by goroutine 1$' "$2, info goroutines"
  expect "$1" '^6 goroutines$' "$2, info goroutines"
  [ "$(grep -c 'in .*wait_on_channel .*at .*sample.cpp:' "$1")" -ge 3 ] ||
    fail "$2: not each of the three waiting ones has its function in the stack" "$1"
  expect "$1" '^#[0-9]+ .*sleep_long' "$2, goroutine all bt"
  expect "$1" '^#[0-9]+ .*compute_for_ever' "$2, goroutine all bt: one that runs"
  if grep -Eq 'Python Exception|Traceback' "$1"; then fail "$2: the script failed" "$1"; fi
}

gdb=(gdb -nx -batch -iex 'set auto-load off' -iex 'set debuginfod enabled off' -ex 'set pagination off')
commands=(-x "$script" -ex 'info goroutines' -ex 'goroutine all bt')

"${gdb[@]}" -ex 'break sample_is_ready' -ex run "${commands[@]}" \
  -ex 'goroutine 2 bt' -ex 'goroutine 2 up' -ex 'goroutine 99999 bt' \
  -ex "goroutine-core $work/core" -ex kill "$sample" >"$work/live" 2>&1 || true
check "$work/live" "under gdb"
expect "$work/live" 'no goroutine 99999' "under gdb, an id that is not there"

"${gdb[@]}" "${commands[@]}" "$sample" "$work/core" >"$work/dead" 2>&1 || true
check "$work/dead" "on a core file"

# A debugger may not attach everywhere (containers): then there is nothing to see.
"$sample" >"$work/said" &
pid=$!
for _ in $(seq 200); do
  grep -q ready "$work/said" && break
  sleep 0.1
done
"${gdb[@]}" -p "$pid" "${commands[@]}" >"$work/attached" 2>&1 || true
if grep -Eq 'ptrace: Operation not permitted' "$work/attached"; then
  echo "gdb_test: cannot attach here; the rest passed"
else
  check "$work/attached" "attached"
fi
