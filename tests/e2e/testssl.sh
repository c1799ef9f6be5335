#!/usr/bin/env bash
# Lets Debian's testssl.sh look at the demo's TLS on loopback; fails on what it finds of medium
# severity or worse. Takes a few minutes.
#   testssl.sh TREADLE-DEMO
set -euo pipefail
program=$1
limit=540 # seconds, for all of it
command -v testssl >/dev/null || { echo "no testssl here: not tried (apt-get install testssl.sh)"; exit 77; }

work=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# An authority that no one knows is the one thing that may be found fault with.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
  -subj '/CN=Test CA' -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
issue() { # NAME KEY-OPTIONS...
  local name=$1
  shift
  openssl req -new -nodes "$@" -subj '/CN=localhost' -keyout "$work/$name.key" \
    -out "$work/$name.csr" 2>/dev/null
  openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -days 90 \
    -set_serial "0x$(openssl rand -hex 15)" -out "$work/$name.crt" 2>/dev/null -extfile - <<EOF
subjectAltName = DNS:localhost
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
authorityInfoAccess = OCSP;URI:http://ocsp.invalid/
EOF
  cat "$work/$name.crt" "$work/ca.pem" "$work/$name.key" >"$work/$name.pem"
}
issue ec -newkey ec -pkeyopt ec_paramgen_curve:P-256
issue rsa -newkey rsa:2048

cat >"$work/demo.toml" <<EOF
listen = "127.0.0.1:0"
[[tls.certificate]]
chain = "$work/ec.pem"
[[tls.certificate]]
chain = "$work/rsa.pem"
EOF
"$program" --config "$work/demo.toml" >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 100); do
  grep -q 'listening on ' "$work/server.log" && break
  sleep 0.1
done
port=$(sed -n 's/^.*listening on https:.*:\([0-9]*\)$/\1/p' "$work/server.log")
[ -n "$port" ] || { echo "the server does not listen:"; cat "$work/server.log"; exit 1; }

# Its exit code counts findings of any kind; what counts here is the severity in its report.
status=0
timeout "$limit" testssl --quiet --color 0 --openssl "$(command -v openssl)" --ip 127.0.0.1 \
  --nodns min --csvfile "$work/report.csv" "localhost:$port" \
  >"$work/testssl.log" 2>&1 </dev/null || status=$?
if [ "$status" -eq 124 ]; then
  echo "testssl took more than $limit s; it came to:"
  tail -n 20 "$work/testssl.log"
  exit 1
fi

# "id","fqdn/ip","port","severity","finding","cve","cwe"
report=$work/report
sed -n 's/^"\([^"]*\)","[^"]*","[^"]*","\([^"]*\)","\([^"]*\)".*/\2 \1: \3/p' \
  "$work/report.csv" >"$report"
failed=0
# What must stand there, or nothing has been looked at.
for line in 'OK SSLv2: not offered' 'OK SSLv3: not offered' 'INFO TLS1_1: not offered' \
  'OK TLS1_2: offered' 'OK TLS1_3: offered' 'OK secure_client_renego: not vulnerable' \
  'OK heartbleed: not vulnerable' 'OK ROBOT: not vulnerable' 'OK CRIME_TLS: not vulnerable'; do
  grep -q "^$line" "$report" || { echo "missing in the report: $line"; failed=1; }
done
bad=$(grep -E '^(MEDIUM|HIGH|CRITICAL|FATAL) ' "$report" |
  grep -v '^CRITICAL cert_chain_of_trust ' || true)
[ -z "$bad" ] || { echo "testssl finds fault with:"; echo "$bad"; failed=1; }
if [ "$failed" -ne 0 ]; then
  echo "the whole report:"
  cat "$report"
  exit 1
fi
echo "testssl: nothing of medium severity or worse in $(wc -l <"$report") findings"
