#!/usr/bin/env bash
# Loads a treadle app with wrk and prints, for each case, requests a second, latency at the 50th and
# 99th percentile, and the server's CPU microseconds per request.
#
#   bash loadtest/run.sh                          every case, on the release build, which it makes
#   bash loadtest/run.sh plaintext-64 json        only these
#   bash loadtest/run.sh --list                   what there is
#
#   --seconds N      length of one measurement (5)
#   --rounds N       measurements of each case; the median by requests/s is printed (3)
#   --procs N        the server's workers, GOMAXPROCS (1)
#   --threads N      wrk's threads (1)
#   --pin            server on CPU 0, load on CPU 1; without it the kernel places both
#   --url URL        measure a server that runs already, at this URL (case "url"; no CPU figure)
#
# The figures of one run compare with each other; across machines and days they do not.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
bin=$top/build/release/bin
export TREADLE_WRK=$here/wrk

seconds=5 rounds=3 procs=1 threads=1 pin= url=
cases=()

# name | app | path | connections | script | variables
list='plaintext-64 hello /hello 64 get -
plaintext-512 hello /hello 512 get -
pipelined-16 hello /hello 64 pipeline TREADLE_DEPTH=16
json demo /json 64 get -
echo-1k demo /echo 64 post TREADLE_BODY=1024
echo-1m demo /echo 16 post TREADLE_BODY=1048576
file-1k files /1k.bin 64 get -
file-100k files /100k.bin 64 get -
file-10m files /10m.bin 8 get -
beside-slow demo /hello 64 get TREADLE_BESIDE=/slow?ms=50
beside-spin demo /hello 64 get TREADLE_BESIDE=/spin?ms=1000
idle-10000 hello /hello 10000 hold -'

usage() { echo "loadtest/run.sh: $*" >&2; exit 2; }
number() { [[ $2 =~ ^[1-9][0-9]*$ ]] || usage "$1 needs a positive number, not '$2'"; }

while [ $# -gt 0 ]; do
  case $1 in
    --seconds|--rounds|--procs|--threads)
      [ $# -ge 2 ] || usage "$1 needs a number"
      number "$1" "$2"; declare "${1#--}=$2"; shift 2 ;;
    --url) [ $# -ge 2 ] || usage "--url needs a URL"; url=$2; shift 2 ;;
    --pin) pin=1; shift ;;
    --list) awk '{print $1}' <<<"$list"; exit 0 ;;
    -h|--help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    -*) usage "unknown option $1 (see --help)" ;;
    *) grep -q "^$1 " <<<"$list" || usage "unknown case $1 (see --list)"; cases+=("$1"); shift ;;
  esac
done

program=loadtest/run.sh
# shellcheck source=../tests/support/setup.sh
. "$top/tests/support/setup.sh"
need_packages "${packages[@]}" wrk
[ -n "$url" ] || build_preset release treadle-hello treadle-demo treadle-files treadle-hold

work=$(mktemp -d)
server= beside=
stop() {
  [ -z "$beside" ] || kill "$beside" 2>/dev/null || true
  [ -z "$server" ] || { kill -TERM "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
  beside= server=
}
trap 'stop; rm -rf "$work"' EXIT

on() { [ -z "$pin" ] || echo "taskset -c $1"; }

# Nanoseconds of CPU that all threads of the server have used.
cpu_ns() { cat /proc/"$1"/task/*/schedstat 2>/dev/null | awk '{n += $1} END {printf "%d", n}'; }

start_server() { # app
  local app=$1 log=$work/server.log extra=()
  [ "$app" = hello ] || extra=(--root "$work/www")
  # shellcheck disable=SC2046
  $(on 0) "$bin/treadle-$app" --listen 127.0.0.1:0 --procs "$procs" "${extra[@]}" >"$log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    base=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$log" | head -n 1 || true)
    [ -z "$base" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
  cat "$log" >&2; die "treadle-$app did not start"
}

# 64 clients of handlers that block, or 2 that compute, for as long as the case runs.
start_beside() { # path
  local clients=64
  [[ $1 != /spin* ]] || clients=2
  # shellcheck disable=SC2046
  $(on 1) wrk -t1 -c"$clients" -d$((seconds + 2))s "$base$1" >/dev/null 2>&1 &
  beside=$!
  sleep 1
}

measure() { # url connections script -> "requests us p50 p99 errors cpu_ns"
  local before=0 after=0 out
  [ -z "$server" ] || before=$(cpu_ns "$server")
  # shellcheck disable=SC2046
  out=$($(on 1) wrk -t"$threads" -c"$2" -d"${seconds}s" --latency -s "$here/wrk/$3.lua" "$1")
  [ -z "$server" ] || after=$(cpu_ns "$server")
  sed -n 's/^RESULT requests=\([0-9]*\) us=\([0-9]*\) p50=\([0-9]*\) p99=\([0-9]*\) max=[0-9]* errors=\([0-9]*\)$/\1 \2 \3 \4 \5/p' \
    <<<"$out" | awk -v cpu=$((after - before)) '{print $0, cpu}'
}

row() { # name, lines of measurements on standard input
  sort -n -k1,1 | awk -v name="$1" '{l[NR] = $0; r = $1 / $2 * 1e6; if (NR == 1 || r < lo) lo = r; if (r > hi) hi = r}
    END { split(l[int((NR + 1) / 2)], f); cpu = f[6] > 0 && f[1] > 0 ? sprintf("%.2f", f[6] / 1000 / f[1]) : "-"
      printf "%-15s %10.0f %9.0f-%-9.0f %9.3f %9.3f %10s %7d\n", name, f[1] / f[2] * 1e6, lo, hi, f[3] / 1000, f[4] / 1000, cpu, f[5] }'
}

mkdir "$work/www"
head -c 1024 /dev/urandom >"$work/www/1k.bin"
head -c 102400 /dev/urandom >"$work/www/100k.bin"
head -c 10485760 /dev/urandom >"$work/www/10m.bin"

echo "$rounds rounds of $seconds s, server with $procs worker(s)${pin:+ on CPU 0, load on CPU 1}; latencies in ms, CPU in us per request"
printf '%-15s %10s %19s %9s %9s %10s %7s\n' case requests/s 'lowest-highest' p50 p99 cpu/req errors
if [ -n "$url" ]; then
  for _ in $(seq "$rounds"); do measure "$url" 64 get; done | row url
  exit 0
fi
while read -r name app path connections script variables; do
  [ ${#cases[@]} -eq 0 ] || [[ " ${cases[*]} " == *" $name "* ]] || continue
  export TREADLE_DEPTH=16 TREADLE_BODY=1024 TREADLE_BESIDE=
  [ "$variables" = - ] || export "${variables?}"
  start_server "$app"
  if [ "$script" = hold ]; then
    # shellcheck disable=SC2046
    held=$($(on 1) "$bin/treadle-hold" "${base#http://}" "$path" "$connections" 2000 "$server")
    awk -v name="$name" '{for (i = 2; i <= NF; i++) {split($i, f, "="); v[f[1]] = f[2]}
      printf "%-15s %d connections held, %d bytes of server memory each; another one meanwhile: p50 %.3f p99 %.3f\n",
        name, v["connections"], v["bytes_each"], v["p50"] / 1000, v["p99"] / 1000}' <<<"$held"
    stop
    continue
  fi
  : >"$work/rows"
  for _ in $(seq "$rounds"); do
    [ -z "$TREADLE_BESIDE" ] || start_beside "$TREADLE_BESIDE"
    measure "$base$path" "$connections" "$script" >>"$work/rows"
    [ -z "$beside" ] || { wait "$beside" || true; beside=; }
  done
  row "$name" <"$work/rows"
  stop
done <<<"$list"
