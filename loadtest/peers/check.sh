#!/usr/bin/env bash
# Proves that all peers answer the same: starts each one that build.sh made, asks for every route it
# has, compares status, fields and body with what everybody is to send, and stops it; with one and
# with two workers, plain and over TLS 1.2 and 1.3.
#
#   bash loadtest/peers/check.sh DIR              all of them
#   bash loadtest/peers/check.sh DIR nginx beast  only these
#
# Fields may come in any order and case. What one peer may send besides stands in extras(), and in
# build.sh in words. Ends with 1 when anything differs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$(dirname "$here")")
program=loadtest/peers/check.sh
# shellcheck source=../../tests/support/setup.sh
. "$top/tests/support/setup.sh"

# peer | its routes | its TLS: no, also, only
table='bare-plaintext plaintext no
bare-plaintext --echo no
bare-files files no
bare-tls plaintext only
bare-echo raw no
treadle-bench plaintext,json,echo,files,slow also
treadle-bench --tcp-echo no
go-nethttp plaintext,json,echo,files,slow also
go-nethttp --tcp-echo no
go-fasthttp plaintext,json,echo,files,slow also
beast plaintext,json,echo,files also
nginx plaintext,json,files also
h2o plaintext,json,files also'

usage() { echo "$program: $*" >&2; exit 2; }
case ${1:-} in
  -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
  '' | -*) usage "needs the folder that build.sh built into (see --help)" ;;
esac
bin=$1
shift
for name in "$@"; do grep -q "^$name " <<<"$table" || usage "no peer $name"; done
need_packages curl openssl python3

work=$(mktemp -d)
server='' failed=''
# The peer gets ten seconds to end of its own accord.
stop() {
  [ -n "$server" ] || return 0
  local code=0 pid=$server
  server=
  kill -TERM "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || code=$?
  return "$code"
}
trap 'stop || true; rm -rf "$work"' EXIT

mkdir "$work/www"
printf 'Hello, World!' >"$work/plaintext"
printf '{"message":"Hello, World!"}' >"$work/json"
head -c 1024 /dev/urandom >"$work/www/1k.bin"
head -c 102400 /dev/urandom >"$work/www/100k.bin"
head -c 10485760 /dev/urandom >"$work/www/10m.bin"
head -c 1048576 /dev/urandom >"$work/1m"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/log" ||
  { cat "$work/log" >&2; die "openssl made no certificate"; }

what='' # being checked now, for messages
bad() { echo "$program: $what: $*" >&2; failed=1; }

# Fields that this peer may send besides, on files or everywhere.
extras() { # peer route
  case $1 in
    nginx) echo 'server: nginx'; echo 'connection: keep-alive' ;;
    h2o) echo 'connection: keep-alive' ;;
  esac
  [ "$2" = files ] || return 0
  case $1 in treadle-bench | nginx | h2o) echo 'etag: ("|W/").*' ;; esac
  case $1 in treadle-bench | nginx | h2o | go-*) echo 'last-modified: .* GMT' ;; esac
  case $1 in treadle-bench | nginx | h2o | go-nethttp) echo 'accept-ranges: bytes' ;; esac
  case $1 in treadle-bench) echo 'x-content-type-options: nosniff' ;; esac
}

# One request; its answer has to be a 200 of this type with the bytes of this file.
ask() { # peer route url type file curl-arguments...
  local peer=$1 route=$2 url=$3 type=$4 file=$5 now
  shift 5
  if ! curl -sS --http1.1 --max-time 10 --cacert "$work/cert.pem" -H 'Expect:' -D "$work/head" \
    -o "$work/body" "$@" "$url" 2>"$work/log"; then
    bad "$url: $(cat "$work/log")"
    return
  fi
  cmp -s "$work/body" "$file" || bad "$url: another body than expected"
  { printf 'HTTP/1.1 200 OK\n'
    printf '%s\n' "content-length: $(stat -c %s "$file")" "content-type: $type" 'date: now' | sort
  } >"$work/expected"
  now=$(sed -n 's/^date: \(.*\)\r$/\1/Ip' "$work/head")
  if ! [[ $now =~ ^[A-Z][a-z]{2},\ [0-9]{2}\ [A-Z][a-z]{2}\ [0-9]{4}\ [0-9:]{8}\ GMT$ ]] ||
    [ $(($(date +%s) - $(date -d "$now" +%s))) -gt 2 ]; then
    bad "$url: Date is '$now'"
  fi
  { head -n 1 "$work/head"
    tail -n +2 "$work/head" | sed -E '/^\r?$/d; s/^[^:]*/\L&/; s/^date: .*/date: now/' |
      grep -vxE -f <(extras "$peer" "$route" | sed 's/$/\r?/') | sort
  } | tr -d '\r' >"$work/seen"
  diff -u "$work/expected" "$work/seen" >"$work/log" || bad "$url: $(tail -n +4 "$work/log")"
}

routes() { # peer routes base-url
  local route size
  for route in ${2//,/ }; do
    case $route in
      plaintext) ask "$1" "$route" "$3/plaintext" text/plain "$work/plaintext" ;;
      json) ask "$1" "$route" "$3/json" application/json "$work/json" ;;
      echo)
        for size in www/1k.bin 1m www/100k.bin; do
          ask "$1" "$route" "$3/echo" application/octet-stream "$work/$size" \
            --data-binary "@$work/$size" -H 'Content-Type: application/octet-stream'
        done ;;
      files)
        for size in 1k 100k 10m; do
          ask "$1" "$route" "$3/$size.bin" application/octet-stream "$work/www/$size.bin"
        done ;;
      slow)
        printf 'slow\n' >"$work/said"
        ask "$1" "$route" "$3/slow?ms=20&how=wrapped" text/plain "$work/said"
        ask "$1" "$route" "$3/slow?ms=20&how=unwrapped" text/plain "$work/said"
        printf 'spun\n' >"$work/said"
        ask "$1" "$route" "$3/spin?ms=20" text/plain "$work/said" ;;
    esac
  done
}

start() { # port peer arguments...
  local port=$1 peer=$2
  shift 2
  "$bin/$peer" --port "$port" "$@" >"$work/server.log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    kill -0 "$server" 2>/dev/null || break
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    sleep 0.05
  done
  bad "does not start: $(cat "$work/server.log")"
  stop || true
  return 1
}

check() { # peer routes workers plain|tls
  local peer=$1 routes=$2 port arguments=(--workers "$3") scheme=http code=0
  what="$peer, $3 worker(s), $4, $routes"
  [ -x "$bin/$peer" ] || { bad "there is no $bin/$peer"; return; }
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  case $routes in
    --*) arguments+=("$routes"); routes=${routes#--}; routes=${routes/tcp-echo/raw} ;;
    *files*) arguments+=(--root "$work/www") ;;
  esac
  [ "$4" = plain ] || { scheme=https; arguments+=(--cert "$work/cert.pem" --key "$work/key.pem"); }
  start "$port" "$peer" "${arguments[@]}" || return 0
  routes "$peer" "$routes" "$scheme://127.0.0.1:$port"
  timeout 60 python3 "$here/check_raw.py" "$port" "$4" "$routes" "$work/cert.pem" >"$work/raw.log" 2>&1 ||
    bad "$(cat "$work/raw.log")"
  stop || code=$?
  [ "$code" -eq 0 ] || bad "ended with $code on SIGTERM: $(cat "$work/server.log")"
  echo "$what: $(tail -n 1 "$work/raw.log")"
}

while read -r peer routes tls; do
  [ $# -eq 0 ] || [[ " $* " == *" $peer "* ]] || continue
  for workers in 1 2; do
    [ "$tls" = only ] || check "$peer" "$routes" "$workers" plain
    [ "$tls" = no ] || check "$peer" "$routes" "$workers" tls
  done
done <<<"$table"
[ -z "$failed" ] || die "there are differences, see above"
