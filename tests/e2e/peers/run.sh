#!/usr/bin/env bash
# Runs one real peer against treadle-demo and treadle-files, started for it on free ports.
#   run.sh PEER BIN_DIR [WORK_DIR]
# PEER is a file or directory here that is told, by environment variables:
#   DEMO, FILES  URLs without a slash at their end     WORK  a directory for it
#   SECURE       the demo over TLS, its certificate is CA
#   ROOT         the directory that both serve, DEMO below /files/
#   DEMO_PID     the demo's process
# It ends with 0 when all went well. A peer's program that is missing is a failure, since
# tests/run.sh installs it, but for the browser: see browser.sh, which may end with 77.
set -euo pipefail
peer=$1 bin=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=$(mktemp -d "${3:-${TMPDIR:-/tmp}}/treadle-peer-XXXXXX")
ROOT=$WORK/root
pids=()

cleanup() {
  local pid
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait 2>/dev/null
  rm -rf "$WORK"
}
trap cleanup EXIT

# start NAME APP [FLAG...]: starts an app; $url and $pid are its.
start() {
  local name=$1 app=$2 log=$WORK/$1.log
  shift 2
  : >"$log" # there before the first look at it
  "$bin/$app" --listen 127.0.0.1:0 "$@" >>"$log" 2>&1 &
  pid=$!
  pids+=("$pid")
  local i
  for ((i = 0; i < 600; i++)); do
    url=$(sed -n 's/^.*listening on \(https*:\/\/127\.0\.0\.1:[0-9]*\).*$/\1/p' "$log" | head -n 1)
    [ -z "$url" ] || return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  echo "$name did not come up:" >&2
  cat "$log" >&2
  exit 1
}

# stop NAME PID: ends it as an operator would; nothing may have been cut, and no error logged.
stop() {
  local name=$1 pid=$2 status=0
  kill -TERM "$pid"
  wait "$pid" || status=$?
  local bad=0
  [ "$status" -eq 0 ] || bad=1
  ! grep -qE ' (error|fatal|critical) |Sanitizer|panic' "$WORK/$name.log" || bad=1
  [ "$bad" -eq 0 ] || {
    echo "$name ended with $status; its log:" >&2
    tail -n 50 "$WORK/$name.log" >&2
    exit 1
  }
}

mkdir -p "$ROOT/sub"
head -c 20000000 /dev/urandom >"$ROOT/large.bin"
seq 1 20000 >"$ROOT/numbers.txt"
echo '<!doctype html><title>sub</title>index of sub' >"$ROOT/sub/index.html"

start demo treadle-demo --root "$ROOT"
DEMO=$url DEMO_PID=$pid
start files treadle-files --root "$ROOT"
FILES=$url FILES_PID=$pid
# The same over TLS, with a certificate of its own.
CA=$WORK/site.crt
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
  -addext subjectAltName=IP:127.0.0.1 -keyout "$WORK/site.key" -out "$CA" 2>/dev/null
start secure treadle-demo --root "$ROOT" --tls-cert "$CA" --tls-key "$WORK/site.key"
SECURE=$url SECURE_PID=$pid
export DEMO DEMO_PID FILES SECURE CA ROOT WORK

status=0
case $peer in
  *.sh) bash "$here/$peer" || status=$? ;;
  *.mjs) node "$here/$peer" || status=$? ;;
  *.go)
    # No module, no network: the standard library alone. The cache outlives the run.
    GOFLAGS=-mod=mod GOTOOLCHAIN=local GO111MODULE=off GOPATH=$WORK/go \
      GOCACHE=${TMPDIR:-/tmp}/treadle-go-cache go run "$here/$peer" || status=$?
    ;;
  *) echo "no peer $peer" >&2 && exit 2 ;;
esac
[ "$status" -ne 77 ] || exit 77
[ "$status" -eq 0 ] || {
  echo "$peer: exit status $status; the demo's log:" >&2
  tail -n 20 "$WORK/demo.log" >&2
  exit "$status"
}
stop demo "$DEMO_PID"
stop files "$FILES_PID"
stop secure "$SECURE_PID"
echo "$peer: all is well"
