#!/usr/bin/env bash
# Measures what reading from a cold disk costs: treadle's way beside io_uring and beside plain threads,
# and what a file server of treadle's makes of it. Prints Markdown tables: medians, spread, ratios.
#
#   bash loadtest/cold/run.sh                   every case; builds what it needs on the way
#   bash loadtest/cold/run.sh 4k-64 'web-*'     only these (shell patterns)
#   bash loadtest/cold/run.sh --list            what there is
#
#   --dir DIR        where the files are made, and deleted afterwards: on the disk to be measured (/var/tmp)
#   --mib N          size of the one large file whose blocks are read, to 2048 (1024)
#   --rounds N       rounds of each case; the ways take turns in each (5)
#   --seconds S      length of one measurement at most; it also ends with the file (0.5)
#   --cpu N          the CPU that what is measured is pinned to; clients of web-* take the next one (0)
#   --report FILE    writes the tables there too, with the machine, the date and this command
#
# A case SIZE-N reads blocks of that size at random offsets, N at a time, each block once, none of it in the
# page cache. tick-SIZE-N is the same beside a timer of 1 ms on the same P, or in the same loop: how late it
# is. web-SIZE-N gets small files from treadle-bench over N connections, each file once: by names that the
# kernel has never looked up ("new"), again with the contents cold ("cold"), and from memory ("warm").
# CPU time is that of all threads, io_uring's workers in the kernel among them. A ratio is the median of the
# rounds' ratios. Compare those, and not times of different runs: the disk of a virtual machine has others
# to serve.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$(dirname "$here")")
bin=$top/build/release/bin
tool=$bin/treadle-cold

dir=/var/tmp mib=1024 rounds=5 seconds=0.5 cpu=0 report='' patterns=()
command_line="bash loadtest/cold/run.sh $*"

cases=()
for size in 4k 64k 1m; do
  for n in 1 8 64 256; do cases+=("$size-$n"); done
done
for size in 4k 64k 1m; do
  for n in 8 64; do cases+=("tick-$size-$n"); done
done
cases+=(web-4k-8 web-4k-64 web-64k-64)

usage() { echo "loadtest/cold/run.sh: $*" >&2; exit 2; }
names() { printf '%s\n' "${cases[@]}"; }

while [ $# -gt 0 ]; do
  case $1 in
    --dir | --mib | --rounds | --seconds | --cpu | --report)
      [ $# -ge 2 ] || usage "$1 needs a value"
      [[ $1 = --dir || $1 = --report || $2 =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage "$1 needs a number, not '$2'"
      declare "${1#--}=$2"; shift 2 ;;
    --list) names; exit 0 ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    -*) usage "unknown option $1 (see --help)" ;;
    *)
      # shellcheck disable=SC2254
      names | while read -r n; do case $n in $1) exit 1 ;; esac; done && usage "no case $1 (see --list)"
      patterns+=("$1"); shift ;;
  esac
done
[[ $rounds =~ ^[1-9][0-9]*$ && $mib =~ ^[1-9][0-9]*$ && $cpu =~ ^[0-9]+$ ]] ||
  usage "--rounds, --mib and --cpu need whole numbers"
[ -d "$dir" ] || usage "no directory $dir"
[ "$(nproc)" -ge 2 ] || usage "needs two CPUs"

program=loadtest/cold/run.sh
# shellcheck source=../../tests/support/setup.sh
. "$top/tests/support/setup.sh"
need_packages "${packages[@]}"
build_preset release treadle-cold treadle-bench

# On the disk; and what is measured, in memory or wherever temporary files are.
disk=$(mktemp -d "$dir/treadle-cold-XXXXXX")
work=$(mktemp -d)
server=
stop_server() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; } || true
  server=
}
trap 'stop_server; rm -rf "$disk" "$work"' EXIT
trap 'exit 130' INT TERM

wanted() { # case
  local p
  [ ${#patterns[@]} -gt 0 ] || return 0
  for p in "${patterns[@]}"; do
    # shellcheck disable=SC2254
    case $1 in $p) return 0 ;; esac
  done
  return 1
}

bytes_of() { # size
  case $1 in *k) echo $((${1%k} * 1024)) ;; *m) echo $((${1%m} * 1024 * 1024)) ;; esac
}

# Lines "case way round metric value" in $work/figures.
note() { # case way round
  sed "s/^/$1 $2 $3 /" >>"$work/figures"
}

read_blocks() { # case how ways...
  local name=$1 how=$2 way round size n
  shift 2
  IFS=- read -r size n <<<"${name#tick-}"
  for round in $(seq "$rounds"); do
    for way in "$@"; do
      timeout 60 taskset -c "$cpu" "$tool" "$how" "$way" "$disk/blocks" "$(bytes_of "$size")" "$n" "$seconds" |
        note "$name" "$way" "$round" || { echo "$program: $name: $way failed" >&2; touch "$work/failed"; }
    done
  done
}

# Prints the port on which the server listens.
start_server() { # root
  local port tries
  for tries in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    taskset -c "$cpu" "$bin/treadle-bench" --port "$port" --root "$1" 2>"$work/log" &
    server=$!
    for _ in $(seq 100); do
      kill -0 "$server" 2>/dev/null || break
      if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "$port" >"$work/port"
        return
      fi
      sleep 0.05
    done
    stop_server
  done
  cat "$work/log" >&2
  die "treadle-bench does not start ($tries attempts)"
}

get_files() { # case
  local round files size n how count
  IFS=- read -r _ size n <<<"$1"
  count=6000
  for round in $(seq "$rounds"); do
    files=$(mktemp -d "$disk/web-XXXXXX")  # each time names that nobody has looked up
    "$tool" files "$files" "$count" "$(bytes_of "$size")"
    start_server "$files"
    for how in new cold warm; do
      timeout 60 taskset -c "$(((cpu + 1) % $(nproc)))" "$tool" get "$(cat "$work/port")" "$server" "$files" \
        "$count" "$n" "${how/new/cold}" | note "$1" "$how" "$round" ||
        { echo "$program: $1 failed" >&2; touch "$work/failed"; }
    done
    stop_server
    rm -rf "$files"
  done
}

# A row for each case of a kind, a column for each way; ratios to the first of them.
table() { # cases' pattern, metric, title, ways...
  local cases_like=$1 metric=$2 title=$3
  shift 3
  grep -qsE "^$cases_like " "$work/figures" || return 0
  printf '\n**%s**\n\n' "$title"
  awk -v like="^$cases_like\$" -v metric="$metric" -v ways="$*" '
    function median(list, n,   i, j, t) {
      for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) {t = list[j]; list[j] = list[j - 1]; list[j - 1] = t}
      return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    function show(x) {return x >= 100 ? sprintf("%.0f", x) : x >= 10 ? sprintf("%.1f", x) : sprintf("%.2f", x)}
    BEGIN {
      columns = split(ways, way, " ")
      head = "| case |"; line = "|---|"
      for (w = 1; w <= columns; w++) {head = head " " way[w] " |"; line = line "---|"}
      print head; print line
    }
    $1 ~ like && $4 == metric {
      if (!($1 in seen)) {seen[$1] = 1; order[++cases] = $1}
      value[$1, $2, $3] = $5 + 0
      if ($3 > most) most = $3
    }
    END {
      for (c = 1; c <= cases; c++) {
        row = "| " order[c] " |"
        for (w = 1; w <= columns; w++) {
          n = m = 0
          for (r = 1; r <= most; r++) {
            if (!((order[c], way[w], r) in value)) continue
            list[++n] = value[order[c], way[w], r]
            if (w > 1 && value[order[c], way[1], r] > 0) ratios[++m] = list[n] / value[order[c], way[1], r]
          }
          if (!n) {row = row " - |"; continue}
          middle = show(median(list, n))
          row = row " " middle (n > 1 ? " (" show(list[1]) " to " show(list[n]) ")" : "")
          row = row (m ? sprintf(", x%.2f |", median(ratios, m)) : " |")
        }
        print row
      }
    }' "$work/figures"
}

tables() {
  local blocks='(4k|64k|1m)-[0-9]+' ticks='tick-.*' web='web-.*'
  table "$blocks" cpu_us 'CPU microseconds of a block, and the ratio to treadle' "${ways[@]}"
  table "$blocks" mb_s 'MB/s, and the ratio to treadle' "${ways[@]}"
  table "$blocks" busy 'CPU time over time' "${ways[@]}"
  table "$blocks" switches 'Switches of threads for a block' "${ways[@]}"
  table "$ticks" late_p50_us 'How late a timer of 1 ms is, microseconds: median' "${ticking[@]}"
  table "$ticks" late_p99_us 'The same: 99th percentile' "${ticking[@]}"
  table "$ticks" late_max_us 'The same: the latest' "${ticking[@]}"
  table "$web" cpu_us 'CPU microseconds of the server for a file, and the ratio to warm' warm cold new
  table "$web" us 'Microseconds from one file to the next' warm cold new
  table "$web" switches 'Switches of the threads of the server for a file' warm cold new
}

heading() {
  cat <<END
By \`$command_line\` on $(date -u '+%Y-%m-%d %H:%M UTC'), at $(git -C "$top" log -1 --format=%h 2>/dev/null || echo 'no commit').

- $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, Linux $(uname -r); load average at the start: $(cut -d' ' -f1-3 /proc/loadavg)
- $(stat -f -c %T "$dir") on $(df --output=source "$dir" | tail -n 1); $rounds rounds of $seconds s at most, the ways in turn, pinned to CPU $cpu: median (lowest to highest)
END
}

mapfile -t ways < <("$tool" --list | cut -d' ' -f1)
ticking=()
for way in treadle treadle-hint treadle-ring ring-epoll; do
  [[ " ${ways[*]} " != *" $way "* ]] || ticking+=("$way")
done
# shellcheck disable=SC2016
"$tool" --list | sed 's/^\([^ ]*\) /- `\1`: /' >"$work/ways"
heading >"$work/heading"
for name in "${cases[@]}"; do
  wanted "$name" || continue
  [[ $name = web-* || -e $disk/blocks ]] || "$tool" make "$disk/blocks" "$mib"
  case $name in
    web-*) get_files "$name" ;;
    tick-*) read_blocks "$name" tick "${ticking[@]}" ;;
    *) read_blocks "$name" read "${ways[@]}" ;;
  esac
  echo "$program: $name" >&2
done
if [ -n "$report" ]; then
  { cat "$work/heading" "$work/ways"; tables; } | tee "$report"
else
  tables
fi
[ ! -e "$work/failed" ]
