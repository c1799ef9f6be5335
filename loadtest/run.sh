#!/usr/bin/env bash
# Loads the sample apps, as users build and run them, with wrk, and prints for each case requests a
# second, latency at the 50th and 99th percentile, and the server's CPU microseconds per request; with
# --url any server that runs already. How treadle stands beside its peers, ratios, and latencies that
# count from when a request was due: loadtest/compare, whose servers are made to be compared.
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
# Latencies are "-" where requests are sent 16 at a time: wrk has none of such batches.
# The figures of one run compare with each other; across machines and days they do not. "errors"
# counts those of all rounds. A case that fails, or has errors, is named, and the exit code is 1.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
bin=$top/build/release/bin
export TREADLE_WRK=$here/wrk

seconds=5 rounds=3 procs=1 threads=1 pin='' url=''
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
server='' beside='' holder='' failed=''
fail() { echo "$program: $*" >&2; failed=1; }

stop_beside() { kill "$beside" 2>/dev/null || true; wait "$beside" 2>/dev/null || true; beside=; }
stop_holder() { kill -KILL "$holder" 2>/dev/null || true; wait "$holder" 2>/dev/null || true; holder=; }
stop() {
  [ -z "$beside" ] || stop_beside
  [ -z "$holder" ] || stop_holder
  [ -z "$server" ] || { kill -TERM "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
  server=
}
trap 'stop; rm -rf "$work"' EXIT

on() { [ -z "$pin" ] || echo "taskset -c $1"; }

# Nanoseconds of CPU that all threads of the server have used. (mawk's %d ends at 2^31.)
cpu_ns() { cat /proc/"$1"/task/*/schedstat 2>/dev/null | awk '{n += $1} END {printf "%.0f", n}'; }

start_server() { # app
  local app=$1 log=$work/server.log extra=() files
  base=
  : >"$log"  # here, not by the child below alone: it may come later than the first look
  [ "$app" = hello ] || extra=(--root "$work/www")
  # The default keeps half of the descriptors for files that handlers open.
  files=$(ulimit -Hn)
  [[ $files != unlimited && $files -gt 2000 ]] && extra+=(--max-connections $((files - 512)))
  # shellcheck disable=SC2046
  $(on 0) "$bin/treadle-$app" --listen 127.0.0.1:0 --procs "$procs" "${extra[@]}" >>"$log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    kill -0 "$server" 2>/dev/null || break
    base=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$log" | head -n 1 || true)
    [ -z "$base" ] || return 0
    sleep 0.05
  done
  cat "$log" >&2; fail "treadle-$app did not start"
  return 1
}

# Stops the server of a case, which must have lived until now and end of its own accord.
stop_server() { # case, app
  local code=0
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" || code=$?
  server=
  [ "$code" -eq 0 ] || { cat "$work/server.log" >&2; fail "$1: treadle-$2 ended with $code"; }
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
  out=$($(on 1) wrk -t"$threads" -c"$2" -d"${seconds}s" --latency -s "$here/wrk/$3.lua" "$1") || return
  [ -z "$server" ] || after=$(cpu_ns "$server")
  grep -q '^RESULT requests=[1-9]' <<<"$out" || { echo "$out" >&2; return 1; }
  sed -n 's/^RESULT requests=\([0-9]*\) us=\([0-9]*\) p50=\([0-9]*\) p99=\([0-9]*\) max=[0-9]* errors=\([0-9]*\)$/\1 \2 \3 \4 \5/p' \
    <<<"$out" | awk -v cpu=$((after - before)) '{print $0, cpu}'
}

# Prints a case's line and takes note of errors.
row() { # name, file with a line per measurement
  local errors
  errors=$(awk '{n += $5} END {printf "%d", n}' "$2")
  sort -n -k1,1 "$2" | awk -v name="$1" -v errors="$errors" '{l[NR] = $0; r = $1 / $2 * 1e6; if (NR == 1 || r < lo) lo = r; if (r > hi) hi = r}
    function ms(us) {return us > 0 ? sprintf("%.3f", us / 1000) : "-"}
    END { split(l[int((NR + 1) / 2)], f); cpu = f[6] > 0 && f[1] > 0 ? sprintf("%.2f", f[6] / 1000 / f[1]) : "-"
      printf "%-15s %10.0f %9.0f-%-9.0f %9s %9s %10s %7d\n", name, f[1] / f[2] * 1e6, lo, hi, ms(f[3]), ms(f[4]), cpu, errors }'
  [ "$errors" -eq 0 ] || fail "$1: $errors errors"
}

# All rounds of a case, and its line.
rounds_of() { # name url connections script
  : >"$work/rows"
  for _ in $(seq "$rounds"); do
    [ -z "$TREADLE_BESIDE" ] || start_beside "$TREADLE_BESIDE"
    if ! measure "$2" "$3" "$4" >>"$work/rows"; then
      fail "$1: wrk measured nothing"
      return
    fi
    if [ -n "$beside" ]; then
      wait "$beside" || fail "$1: the load on $TREADLE_BESIDE failed"
      beside=
    fi
  done
  row "$1" "$work/rows"
}

# Resident kilobytes of the server.
resident_kb() { awk '/^VmRSS:/ {print $2}' /proc/"$server"/status; }

# The memory of connections that are held after a request each, and how the server answers meanwhile.
hold() { # name path connections
  local before bytes gate
  before=$(resident_kb)
  [ -p "$work/gate" ] || mkfifo "$work/gate"
  exec {gate}<>"$work/gate"
  # shellcheck disable=SC2046
  $(on 1) "$bin/treadle-hold" --port "${base##*:}" --path "$2" --connections "$3" <"$work/gate" >"$work/held" &
  holder=$!
  until grep -qs '^ready' "$work/held"; do
    kill -0 "$holder" 2>/dev/null || { fail "$1: treadle-hold holds no connections"; holder=; return; }
    sleep 0.05
  done
  bytes=$((($(resident_kb) - before) * 1024 / $3))
  rounds_of "$1" "$base$2" 64 get
  echo "  beside $3 idle connections, with $bytes bytes of the server's memory each"
  echo >&"$gate"
  wait "$holder" || fail "$1: not every held connection was answered again"
  holder=
  exec {gate}>&-
}

mkdir "$work/www"
head -c 1024 /dev/urandom >"$work/www/1k.bin"
head -c 102400 /dev/urandom >"$work/www/100k.bin"
head -c 10485760 /dev/urandom >"$work/www/10m.bin"

echo "$rounds rounds of $seconds s, server with $procs worker(s)${pin:+ on CPU 0, load on CPU 1}; latencies in ms, CPU in us per request"
printf '%-15s %10s %19s %9s %9s %10s %7s\n' case requests/s 'lowest-highest' p50 p99 cpu/req errors
export TREADLE_DEPTH=16 TREADLE_BODY=1024 TREADLE_BESIDE=
if [ -n "$url" ]; then
  rounds_of url "$url" 64 get
  exit "${failed:-0}"
fi
while read -r name app path connections script variables; do
  [ ${#cases[@]} -eq 0 ] || [[ " ${cases[*]} " == *" $name "* ]] || continue
  export TREADLE_DEPTH=16 TREADLE_BODY=1024 TREADLE_BESIDE=
  [ "$variables" = - ] || export "${variables?}"
  if ! start_server "$app"; then
    fail "$name: not measured"
    stop
    continue
  fi
  case $script in
    hold) hold "$name" "$path" "$connections" ;;
    *) rounds_of "$name" "$base$path" "$connections" "$script" ;;
  esac
  [ -z "$beside" ] || stop_beside
  stop_server "$name" "$app"
done <<<"$list"
exit "${failed:-0}"
