#!/usr/bin/env bash
# curl as a peer; run by run.sh.
set -euo pipefail
cd "$WORK"

failures=0
# check WHAT CONDITION...: the condition is a command.
check() {
  local what=$1
  shift
  "$@" || {
    echo "curl: $what" >&2
    failures=$((failures + 1))
  }
}
c() { curl --silent --show-error --max-time 60 --noproxy '*' "$@"; }
status_of() { c --output /dev/null --write-out '%{http_code}' "$@"; }
is() { [ "$1" = "$2" ] || { echo "is \"$1\", not \"$2\"" >&2; return 1; }; }

# One connection for several requests.
c --verbose "$DEMO/hello" "$DEMO/json" "$DEMO/hello" >bodies 2>trace
check "three requests on one connection" is "$(grep -c 'Re-using existing connection' trace)" 2
check "closes when asked" grep -qi '^< connection: close' <(
  c --verbose -H 'Connection: close' "$DEMO/hello" 2>&1 >/dev/null | tr -d '\r')
check "HTTP/1.0" is "$(c --http1.0 "$DEMO/hello")" 'Hello, World!'
check "HTTP/1.0 streams" cmp -s <(c --http1.0 "$FILES/large.bin") "$ROOT/large.bin"

# HEAD, statuses, redirections.
check "HEAD has the length and no body" grep -qi '^content-length: 20000000' <(
  c --head "$FILES/large.bin" | tr -d '\r')
check "404" is "$(status_of "$DEMO/nowhere")" 404
check "405" is "$(status_of -X DELETE "$DEMO/hello")" 405
check "405 says what is allowed" grep -qi '^allow: get, head' <(
  c --include -X DELETE "$DEMO/hello" | tr -d '\r')
check "OPTIONS" is "$(status_of -X OPTIONS "$DEMO/echo")" 204
check "OPTIONS *" is "$(status_of -X OPTIONS --request-target '*' "$DEMO")" 204
check "absolute-form" is "$(c --request-target "$DEMO/hello" "$DEMO")" 'Hello, World!'
check "as through a proxy" is "$(curl -sS -m 60 --noproxy '' --proxy "$DEMO" http://elsewhere.example/hello)" \
  'Hello, World!'
check "a directory's slash" is "$(c --location --write-out '%{num_redirects}' -o sub.html "$FILES/sub")" 1
check "its index" cmp -s sub.html "$ROOT/sub/index.html"
check "dots are redirected away" is \
  "$(c --path-as-is -o /dev/null --write-out '%{http_code} %{redirect_url}' "$DEMO/a/../%2e%2e//hello")" \
  "301 $DEMO/hello"
check "dots do not leave the root" is "$(status_of --location --path-as-is "$FILES/../../../etc/passwd")" 404
check "nor encoded slashes" is "$(status_of --path-as-is "$FILES/..%2f..%2fetc%2fpasswd")" 404

# Ranges and conditions.
check "a range" cmp -s <(c --range 1000-1999 "$FILES/large.bin") <(tail -c +1001 "$ROOT/large.bin" | head -c 1000)
check "a suffix" cmp -s <(c --range -777 "$FILES/large.bin") <(tail -c 777 "$ROOT/large.bin")
check "several ranges" grep -q 'Content-Range: bytes 10-19/' <(c --range 0-4,10-19 "$FILES/numbers.txt")
check "no range" is "$(status_of --range 99999999- "$FILES/large.bin")" 416
head -c 12345678 "$ROOT/large.bin" >resumed.bin
c --continue-at - --output resumed.bin "$FILES/large.bin"
check "a download resumed" cmp -s resumed.bin "$ROOT/large.bin"
c --etag-save etag --output first.txt "$FILES/numbers.txt"
check "the same etag is 304" is "$(status_of --etag-compare etag "$FILES/numbers.txt")" 304
check "not modified since" is "$(status_of --time-cond "$ROOT/numbers.txt" "$FILES/numbers.txt")" 304

# Uploads.
head -c 5000000 "$ROOT/large.bin" >upload.bin
c --verbose --data-binary @upload.bin -H 'Content-Type: application/octet-stream' \
  -H 'Expect: 100-continue' --expect100-timeout 30 "$DEMO/echo" >back.bin 2>trace
check "100 before the body" grep -q '^< HTTP/1.1 100 Continue' trace
check "the body comes back" cmp -s back.bin upload.bin
check "chunked upload" cmp -s <(c --data-binary @- -H 'Transfer-Encoding: chunked' "$DEMO/echo" <upload.bin) upload.bin
check "an empty one" is "$(c --data '' "$DEMO/echo" | wc -c)" 0
head -c 12000000 "$ROOT/large.bin" >huge.bin
check "too large is told before it is sent" is \
  "$(c -o /dev/null --write-out '%{http_code} %{size_upload}' --data-binary @huge.bin \
    -H 'Expect: 100-continue' --expect100-timeout 30 "$DEMO/echo")" '413 0'
check "too large, and sent regardless" is "$(c -o /dev/null --write-out '%{http_code}' --data-binary @huge.bin \
  -H 'Expect:' "$DEMO/echo" 2>/dev/null || true)" 413
check "an unknown expectation" is "$(status_of -H 'Expect: the-best' "$DEMO/hello")" 417

# Many at once, and large.
urls=()
for ((i = 0; i < 60; i++)); do urls+=(-o "par.$i" "$FILES/numbers.txt"); done
c --parallel --parallel-max 20 "${urls[@]}" 2>parallel.log
for ((i = 0; i < 60; i++)); do check "parallel $i" cmp -s "par.$i" "$ROOT/numbers.txt"; done
check "a large file" cmp -s <(c "$FILES/large.bin") "$ROOT/large.bin"
check "a slow reader" cmp -s <(c --limit-rate 10M "$FILES/large.bin") "$ROOT/large.bin"

# Clients that go away early.
for ((i = 0; i < 20; i++)); do c "$FILES/large.bin" 2>/dev/null | head -c 1000 >/dev/null || true; done
c --max-time 0.3 "$DEMO/sleep?ms=5000" 2>/dev/null || true
check "the server goes on" is "$(c "$DEMO/hello")" 'Hello, World!'

# Over TLS.
s() { c --cacert "$CA" "$@"; }
check "https" is "$(s "$SECURE/hello")" 'Hello, World!'
check "https keeps connections" is \
  "$(s --verbose "$SECURE/hello" "$SECURE/json" 2>&1 >/dev/null | grep -c 'Re-using existing connection')" 1
check "TLS 1.2" is "$(s --tls-max 1.2 "$SECURE/hello")" 'Hello, World!'
check "a large file over TLS" cmp -s <(s "$SECURE/files/large.bin") "$ROOT/large.bin"
check "an upload over TLS" cmp -s <(s --data-binary @"$ROOT/numbers.txt" "$SECURE/echo") "$ROOT/numbers.txt"
! c "$SECURE/hello" >/dev/null 2>&1 || check "an unknown authority is refused" false
check "a plain request on the TLS port" is "$(status_of "http${SECURE#https}/hello")" 400

# Other protocols on the plain port end at once, in an error.
begin=$SECONDS
! c --max-time 20 --http2-prior-knowledge "$DEMO/hello" >/dev/null 2>&1 || check "HTTP/2 unasked" false
check "HTTP/2 ends at once" [ $((SECONDS - begin)) -lt 10 ]
begin=$SECONDS
! c --max-time 20 --insecure "https${DEMO#http}/hello" >/dev/null 2>&1 || check "TLS on a plain port" false
check "TLS ends at once" [ $((SECONDS - begin)) -lt 10 ]
check "an upgrade to h2c is declined" is "$(c --http2 "$DEMO/hello")" 'Hello, World!'

[ "$failures" -eq 0 ]
