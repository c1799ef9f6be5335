#!/usr/bin/env bash
# slowhttptest against treadle-demo; run by run.sh. While each attack lasts, another client must be
# answered every time, within a second but for a few times when the machine itself is busy.
set -euo pipefail
cd "$WORK"
command -v slowhttptest >/dev/null || { echo "there is no slowhttptest here" >&2; exit 1; }

seconds=15     # of each attack
patience=5 # seconds until another client has its answer, at the very most

failures=0
# attack NAME CONNECTIONS FLAG...
attack() {
  local name=$1 connections=$2
  shift 2
  slowhttptest -c "$connections" -r 150 -l $seconds -p 3 "$@" >"$name.log" 2>&1 &
  local attacker=$! answered=0 late=0 took
  while kill -0 "$attacker" 2>/dev/null; do
    if took=$(curl -s --fail --noproxy '*' --max-time $patience -o hello -w '%{time_total}' \
      "$DEMO/hello") && [ "$(cat hello)" = 'Hello, World!' ]; then
      answered=$((answered + 1))
      [ "${took%%.*}" -lt 1 ] || late=$((late + 1))
    else
      echo "$name: no answer within $patience s" >&2
      failures=$((failures + 1))
    fi
    sleep 0.2
  done
  wait "$attacker" || true
  # What slowhttptest's own probe saw, in colours.
  if ! sed 's/\x1b\[[0-9;]*m//g' "$name.log" | grep -q 'service available: *YES'; then
    echo "$name: slowhttptest did not find the service available:" >&2
    tail -n 25 "$name.log" >&2
    failures=$((failures + 1))
  fi
  echo "$name: $answered answers beside it, $late of them late"
  if [ "$answered" -lt "$seconds" ] || [ $((late * 10)) -gt "$answered" ]; then
    echo "$name: too few answers, or too many late ones" >&2
    failures=$((failures + 1))
  fi
}

attack slowloris 300 -H -i 2 -x 24 -u "$DEMO/hello"
attack slow-body 300 -B -i 2 -s 8192 -x 10 -u "$DEMO/echo" -t POST
# Fewer: each first fills its socket's buffer, which is megabytes for the kernel to copy.
attack slow-read 100 -X -w 32 -y 64 -n 2 -z 32 -k 3 -u "$DEMO/files/large.bin"
attack ranges 300 -R -a 1 -b 3000 -u "$DEMO/files/large.bin" -t GET
kill -0 "$DEMO_PID"
[ "$failures" -eq 0 ]
