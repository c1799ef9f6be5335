#!/usr/bin/env bash
# Measures treadle's primitives beside the same work in Go and Boost.Fiber, in one run, and prints a
# Markdown table: medians, spread, and treadle as a ratio to Go, with the goal where there is one.
#
#   bash loadtest/micro/run.sh                      every case; builds what it needs on the way
#   bash loadtest/micro/run.sh yield-2 'spawn-*'    only these (shell patterns)
#   bash loadtest/micro/run.sh --list               what there is
#
#   --quick          3 rounds of 0.1 s: the order of magnitude, in two minutes once all is built
#   --rounds N       rounds of each case; the three programs take turns in each (5)
#   --seconds S      length of one measurement (0.3)
#   --cpu N          the CPU that everything is pinned to; cases with two Ps take the next as well (0)
#   --report FILE    writes the table there too, with the machine, the date and this command
#
# A ratio is the median of the rounds' ratios, whose halves were measured one after the other: compare
# ratios, and instructions, but not times of different runs. "instr." are the user-mode instructions of
# one operation of treadle, "-" where the kernel does not count them for us, or where it is no time that
# is shown. A goal that is missed is shown, and is no error.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$(dirname "$here")")
bin=$top/build/release/bin

rounds=5 seconds=0.3 cpu=0 report='' patterns=()
command_line="bash loadtest/micro/run.sh $*"

# case | Ps | metric | unit | goal: rX ratio to Go, aX absolute | beside treadle | an operation is
rows='yield-2|1|ns|ns|r0.3|go fiber|a yield; 2 goroutines take turns
yield-1000|1|ns|ns|r0.3|go fiber|a yield; 1,000 goroutines take turns
ping-pong|1|ns|ns|r0.5|go fiber|a round over two unbuffered channels: two sends, two receives
ping-pong-2p|2|ns|ns|r0.6|go|the same with two Ps
stream|1|ns|ns|r0.5|go fiber|an element through a channel that buffers 100 (Boost: 127)
stream-2p|2|ns|ns|-|go|the same with two Ps
select-ready|1|ns|ns|r0.6|go|a select over 4 channels that all hold an element, and a send that puts it back
select-parked|1|ns|ns|r0.6|go|a select over 4 channels that waits, and the send that ends it
mutex-4|1|ns|ns|r0.5|go fiber|lock, yield, unlock; 4 goroutines
spawn-join|1|ns|ns|r0.5|go fiber|start one goroutine, wait for it
spawn-100|1|ns|ns|r0.35|go fiber|one of 100 goroutines started, then all waited for
spawn-1000|1|ns|ns|r0.35|go fiber|one of 1,000
fan-out|1|first_ns|ns|r0.5|go|one of 1,000,000, in a fresh process
fan-out|1|again_ns|ns|-|go|one of the 1,000,000 after those
timer|1|ns|ns|r0.6|go|start a timer of an hour and stop it
timer-churn|1|ns|ns|-|go|put off one of 100,000 timers that run
parked|1|bytes|bytes|a5120|go|resident memory and page tables for each of 1,000,000 parked goroutines
blocking|1|over_ns|ns|a10|go|getppid() inside blocking() over the bare call; in Go Syscall over RawSyscall
hand-off-hint|1|p50_us|us|-|go|from a blocking() call to the first instruction of a goroutine that was ready
hand-off-long|1|p50_us|us|-|go|the same with blocking_long()
hand-off-bare|1|p50_us|us|-|-|the same with a call that nothing announces
preempt-nothing|1|mean_us|us|-|go|delay of a sleeper of 1 ms, alone
preempt-nothing|1|p99_us|us|-|go|
preempt-compute|1|mean_us|us|-|go|the same beside a goroutine that computes and calls nothing
preempt-compute|1|p50_us|us|-|go|
preempt-compute|1|p99_us|us|a15000|go|
preempt-compute|1|max_us|us|-|go|
preempt-bursts|1|mean_us|us|-|go|beside one that computes 20 ms at a time and yields
preempt-bursts|1|p99_us|us|-|go|
preempt-read|1|mean_us|us|-|go|beside one that sits in a bare read(); in Go a wrapped one, a bare one holds everything up
preempt-read|1|p50_us|us|-|go|
preempt-read|1|p99_us|us|a15000|go|
preempt-read|1|max_us|us|-|go|
idle|1|wakes|a second|a0|go|context switches of a process whose goroutines all wait
idle|1|cpu_us|us a second|-|go|its CPU time'

usage() { echo "loadtest/micro/run.sh: $*" >&2; exit 2; }
names() { awk -F'|' '!seen[$1]++ {print $1}' <<<"$rows"; }

while [ $# -gt 0 ]; do
  case $1 in
    --rounds | --seconds | --cpu | --report)
      [ $# -ge 2 ] || usage "$1 needs a value"
      [ "$1" = --report ] || [[ $2 =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage "$1 needs a number, not '$2'"
      declare "${1#--}=$2"; shift 2 ;;
    --quick) rounds=3 seconds=0.1; shift ;;
    --list) names; exit 0 ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    -*) usage "unknown option $1 (see --help)" ;;
    *)
      # shellcheck disable=SC2254
      names | while read -r n; do case $n in $1) exit 1 ;; esac; done && usage "no case $1 (see --list)"
      patterns+=("$1"); shift ;;
  esac
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || usage "--rounds needs a whole number"

program=loadtest/micro/run.sh
# shellcheck source=../../tests/support/setup.sh
. "$top/tests/support/setup.sh"
need_packages "${packages[@]}" libbenchmark-dev libboost-fiber1.81-dev golang-go

build() {
  grep -qs '^TREADLE_MICRO:BOOL=ON' "$top/build/release/CMakeCache.txt" ||
    (cd "$top" && cmake --preset release -DTREADLE_MICRO=ON) >&2 || die "cannot configure, see above"
  build_preset release treadle-micro micro-fiber
  local dir=$top/build/release/micro-go
  GO111MODULE=off GOFLAGS='' GOCACHE=$dir/cache GOPATH=$dir/path \
    go build -o "$bin/micro-go" "$here"/go/*.go || die "the Go program does not build"
}
build

work=$(mktemp -d)
watched=''
stop_watched() {
  [ -z "$watched" ] || { kill "$watched" 2>/dev/null; wait "$watched" 2>/dev/null; } || true
  watched=
}
trap 'stop_watched; rm -rf "$work"' EXIT

# The numbers of Google Benchmark's report, as "metric value".
metrics_of_json() {
  awk '/"error_message":/ {sub(/^[^:]*: */, ""); gsub(/[",]/, ""); print "skipped", $0}
    /"benchmarks":/ {inside = 1}
    inside && /^ *"[a-z0-9_]+": [-+0-9.e]+,?$/ {
      name = $1; gsub(/[":]/, "", name); value = $2; sub(/,/, "", value)
      print name == "real_time" ? "ns" : name, value}'
}

# Context switches and CPU microseconds a second of a process, over two seconds.
watch() { # pid
  local now before='' n
  for n in 1 2; do
    now=$(cat /proc/"$1"/task/*/{status,schedstat} | awk '/ctxt_switches/ {w += $2} NF == 3 && /^[0-9]/ {c += $1}
      END {printf "%.0f %.0f", w, c / 1000}')
    [ "$n" = 1 ] || awk '{printf "wakes %.1f\ncpu_us %.1f\n", ($3 - $1) / 2, ($4 - $2) / 2}' <<<"$before $now"
    before=$now
    [ "$n" = 2 ] || sleep 2
  done
}

idle() { # command...
  "$@" &
  watched=$!
  sleep 1.5  # until it has noticed that it is idle
  watch "$watched"
  stop_watched
}

# One measurement: lines "metric value".
measure() { # who case procs
  local cpus=$cpu
  [ "$3" = 1 ] || cpus=$cpu,$(((cpu + 1) % $(nproc)))
  local run=(env "TREADLE_MAXPROCS=$3" "GOMAXPROCS=$3" taskset -c "$cpus")
  case $1-$2 in
    treadle-idle) idle "${run[@]}" "$bin/treadle-micro" --idle ;;
    go-idle) idle "${run[@]}" "$bin/micro-go" idle ;;
    treadle-*)
      "${run[@]}" "$bin/treadle-micro" --benchmark_filter="^$2/" --benchmark_min_time="$seconds" \
        --benchmark_format=json 2>/dev/null | metrics_of_json ;;
    *) timeout 120 "${run[@]}" "$bin/micro-$1" "$2" "$seconds" ;;
  esac
}

# All rounds of a case: files $work/<who> with a line "round metric value" for each figure.
measure_rounds() { # case procs peers
  rm -f "$work"/treadle "$work"/go "$work"/fiber
  local round who
  for round in $(seq "$rounds"); do
    for who in treadle $3; do
      [ "$who" = - ] || measure "$who" "$1" "$2" | sed "s/^/$round /" >>"$work/$who" ||
        { echo "$program: $1: $who failed" >&2; touch "$work/failed"; }
    done
  done
}

# A row of the table, from those files.
row() { # case metric unit goal what
  touch "$work"/treadle "$work"/go "$work"/fiber
  awk -v case="$1" -v metric="$2" -v unit="$3" -v goal="$4" -v what="$5" '
    function median(list, n,   i, j, t) {
      for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) {t = list[j]; list[j] = list[j - 1]; list[j - 1] = t}
      return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    function show(x) {return x >= 1000 ? sprintf("%.0f", x) : x >= 100 ? sprintf("%.1f", x) : sprintf("%.2f", x)}
    function cell(who,   list, n, r, m) {
      for (r in seen) if ((who, r) in value) list[++n] = value[who, r]
      if (!n) return who in skipped ? skipped[who] : "-"
      m = median(list, n); middle[who] = m
      return show(m) (n > 1 ? " (" show(list[1]) " to " show(list[n]) ")" : "")
    }
    {who = FILENAME; sub(/.*\//, "", who); seen[$1] = 1}
    $2 == "skipped" {skipped[who] = $0; sub(/^[0-9]+ /, "", skipped[who])}
    $2 == metric {value[who, $1] = $3 + 0}
    $2 == "insns" && $3 > 0 && who == "treadle" && metric == "ns" {insns[++instructions] = $3 + 0}
    END {
      mine = cell("treadle"); go = cell("go"); fiber = cell("fiber")
      for (r in seen)
        if (("treadle", r) in value && ("go", r) in value && value["go", r] > 0)
          ratios[++n] = value["treadle", r] / value["go", r]
      ratio = n ? median(ratios, n) : ""
      limit = substr(goal, 2); reached = ""
      if (goal ~ /^r/ && n) reached = ratio <= limit + 0 ? "yes" : "no"
      if (goal ~ /^a/ && "treadle" in middle) reached = middle["treadle"] <= limit + 0 ? "yes" : "no"
      printf "| %s%s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", case,
        metric == "ns" ? "" : " " metric, unit, mine, go, fiber, n ? sprintf("%.2f", ratio) : "-",
        goal ~ /^r/ ? "<= " limit " x" : goal ~ /^a/ ? "<= " limit : "", reached,
        instructions ? sprintf("%.0f", median(insns, instructions)) : "-", what
    }' "$work/treadle" "$work/go" "$work/fiber"
}

wanted() { # case
  local p
  [ ${#patterns[@]} -gt 0 ] || return 0
  for p in "${patterns[@]}"; do
    # shellcheck disable=SC2254
    case $1 in $p) return 0 ;; esac
  done
  return 1
}

table() {
  echo '| case | unit | treadle | Go | Boost.Fiber | treadle / Go | goal | reached | instr. | an operation is |'
  echo '|---|---|---|---|---|---|---|---|---|---|'
  local name procs peers
  for name in $(names); do
    wanted "$name" || continue
    IFS='|' read -r _ procs _ _ _ peers _ < <(grep "^$name|" <<<"$rows")
    if [ "$procs" -gt "$(nproc)" ]; then
      echo "| $name | skipped: needs $procs CPUs |"
      continue
    fi
    measure_rounds "$name" "$procs" "$peers"
    while IFS='|' read -r _ _ metric unit goal _ what; do
      row "$name" "$metric" "$unit" "$goal" "$what"
    done < <(grep "^$name|" <<<"$rows")
  done
}

heading() {
  cat <<END
# Microbenchmarks: treadle beside Go and Boost.Fiber

By \`$command_line\` on $(date -u '+%Y-%m-%d %H:%M UTC'), at $(git -C "$top" log -1 --format=%h 2>/dev/null || echo 'no commit').

- $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, Linux $(uname -r); load average at the start: $(cut -d' ' -f1-3 /proc/loadavg)
- $(g++ --version | head -n 1); $(go version); Boost.Fiber $(dpkg-query -W -f '${Version}' libboost-fiber1.81-dev 2>/dev/null || echo '?')
- $rounds rounds of $seconds s, the three in turn, pinned to CPU $cpu: median (lowest to highest)

END
}

if [ -n "$report" ]; then
  { heading; table; } | tee "$report"
else
  table
fi
[ ! -e "$work/failed" ]
