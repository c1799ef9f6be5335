#!/usr/bin/env bash
# Starts nginx or h2o with the flags that the other peers take:
#
#   bash loadtest/peers/start.sh nginx|h2o --port N [--workers N] [--root DIR] [--cert PEM --key PEM]
#
# Fills in NAME.conf.in, in a scratch folder that it removes again, and stays until the server has
# ended; SIGTERM, SIGINT and SIGHUP are passed on as SIGTERM. The server is a child of this script,
# its workers, where they are processes, are children of that.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
die() { echo "loadtest/peers/start.sh: $*" >&2; exit 2; }

name=${1:-}
case $name in nginx | h2o) shift ;; *) die "the first argument is nginx or h2o, not '$name'" ;; esac
port='' workers=1 root='' cert='' key=''
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || die "unknown flag $1, or its value is missing"
  case $1 in
    --port) port=$2 ;;
    --workers) workers=$2 ;;
    --root) root=$(cd "$2" && pwd) || die "--root $2 is no directory" ;;
    --cert) cert=$(readlink -e "$2") || die "--cert $2 is not there" ;;
    --key) key=$(readlink -e "$2") || die "--key $2 is not there" ;;
    *) die "unknown flag $1" ;;
  esac
  shift 2
done
[[ $port =~ ^[1-9][0-9]*$ && $port -le 65535 ]] || die "--port needs a number from 1 to 65535, not '$port'"
[[ $workers =~ ^[1-9][0-9]*$ ]] || die "--workers needs a number from 1, not '$workers'"
[ -n "$cert" ] && [ -n "$key" ] || [ -z "$cert$key" ] || die "--cert and --key go together"
program=$(PATH=$PATH:/usr/sbin command -v "$name") || die "$name is not installed"

dir=$(mktemp -d)
server='' asked_to_stop=''
trap 'rm -rf "$dir"' EXIT
trap 'asked_to_stop=1; [ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true' TERM INT HUP

other='# tls'
[ -z "$cert" ] || other='# plain'
mkdir "$dir/empty"
printf 'Hello, World!' >"$dir/plaintext"
printf '{"message":"Hello, World!"}' >"$dir/json"
sed -e "/$other\$/d" -e "s|@PORT@|$port|g" -e "s|@WORKERS@|$workers|g" -e "s|@DIR@|$dir|g" \
  -e "s|@ROOT@|${root:-$dir/empty}|g" -e "s|@CERT@|$cert|g" -e "s|@KEY@|$key|g" \
  -e "s|@FILES@|$(ulimit -Hn)|g" -e "s|@USER@|$(id -un)|g" -e "s|@GROUP@|$(id -gn)|g" \
  "$here/$name.conf.in" >"$dir/$name.conf"

# h2o leaves the ciphers of TLS 1.3 to OpenSSL's own configuration.
cat >"$dir/openssl.cnf" <<'END'
openssl_conf = all
[all]
ssl_conf = programs
[programs]
system_default = tls13
[tls13]
Ciphersuites = TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384
END
OPENSSL_CONF=$dir/openssl.cnf "$program" -c "$dir/$name.conf" &
server=$!
[ -z "$asked_to_stop" ] || kill -TERM "$server"  # the signal came before there was whom to tell
code=0
wait "$server" || code=$?
# A signal has ended that wait early; this one gets the server's own code.
[ -z "$asked_to_stop" ] || { code=0; wait "$server" || code=$?; }
exit "$code"
