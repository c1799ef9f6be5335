#!/usr/bin/env bash
# Headless Chromium as a peer; run by run.sh. Ends with 77, "skipped", where there is no Chromium
# and nobody promised one: it is a large download, which tests/run.sh makes only for CI.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
browser=$(command -v chromium || true)
if [ -z "$browser" ]; then
  echo "there is no chromium here" >&2
  [ -n "${CI:-}" ] && exit 1 || exit 77
fi

cp "$here/browser.html" "$ROOT/browser.html"
echo '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><rect width="7" height="7"/></svg>' \
  >"$ROOT/picture.svg"

# Time inside the page waits for its requests, and the document is printed once that time is over.
timeout --kill-after=5 100 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
  --user-data-dir="$WORK/profile" --disable-background-networking --disable-component-update \
  --disable-sync --disable-quic --no-first-run --no-proxy-server --disable-extensions \
  --virtual-time-budget=60000 --dump-dom "$DEMO/files/browser.html" >"$WORK/dom" 2>"$WORK/chromium.log" || {
  echo "chromium ended with $?:" >&2
  tail -n 20 "$WORK/chromium.log" >&2
  exit 1
}
grep -q '<pre id="result">all is well</pre>' "$WORK/dom" || {
  echo "the page says:" >&2
  sed -n '/<pre id="result">/,/<\/pre>/p' "$WORK/dom" >&2
  exit 1
}
