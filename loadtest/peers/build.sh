#!/usr/bin/env bash
# Builds treadle and its peers for the comparison, into one folder:
#
#   bash loadtest/peers/build.sh DIR
#
# Everything in DIR takes --port N [--workers N] [--root DIR] [--cert PEM --key PEM] where it has
# such routes, listens on 127.0.0.1, and ends on SIGTERM with 0. nginx and h2o are scripts there:
# start.sh, which fills in their configuration; the server is its child.
#
#                   /plaintext /json POST /echo files /slow /spin TLS  raw echo
#   bare-plaintext  yes        -     --echo     -     -           -    -
#   bare-files      -          -     -          yes   -           -    -
#   bare-tls        yes        -     -          -     -           only -
#   bare-echo       -          -     -          -     -           -    yes
#   treadle-bench   yes        yes   yes        yes   yes         yes  --tcp-echo
#   go-nethttp      yes        yes   yes        yes   yes         yes  --tcp-echo
#   go-fasthttp     yes        yes   yes        yes   yes         yes  -
#   beast           yes        yes   yes        yes   -           yes  -
#   nginx           yes        yes   -          yes   -           yes  -
#   h2o             yes        yes   -          yes   -           yes  -
#
# Status, body, Content-Type, Content-Length and Date are the same from all; check.sh proves it.
# What some cannot leave out: nginx says "Server: nginx" (server_tokens only takes its version
# away), nginx and h2o say "Connection: keep-alive". With files those that compute validators send
# them, as they do by default: treadle, nginx and h2o ETag, Last-Modified and Accept-Ranges, the
# former also X-Content-Type-Options; net/http Last-Modified and Accept-Ranges; fasthttp
# Last-Modified. The bare programs and Beast send none.
#
# Files are opened for each request; by h2o once for all requests of one turn of its loop, which
# cannot be turned off; by treadle-bench once a second at most, and with --open-files 0, which
# loadtest/compare calls treadle-open, for each request as well. JSON is made for each request where
# there is a handler: nginx returns a text from its configuration, h2o /plaintext and /json from
# files, which costs it half of what a handler in mruby does. Time-outs are each one's defaults
# (net/http and fasthttp have none), in Beast those of its documentation's servers, and the bare
# programs have none.
# Over TLS all choose AES-128-GCM, as Go does and cannot be told otherwise.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$(dirname "$here")")
program=loadtest/peers/build.sh
# shellcheck source=../../tests/support/setup.sh
. "$top/tests/support/setup.sh"

case ${1:-} in
  -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
  '' | -*) echo "$program: needs the folder to build into (see --help)" >&2; exit 2 ;;
esac
[ $# -eq 1 ] || { echo "$program: takes one folder, not $*" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

# gcc comes with g++.
need_packages "${packages[@]}" golang-go golang-github-valyala-fasthttp-dev \
  libboost1.81-dev nginx-light h2o

# Files that have not changed are not compiled again.
newer() { # program source...
  local made=$1 source
  shift
  [ -e "$made" ] || return 0
  for source in "$@"; do [ ! "$source" -nt "$made" ] || return 0; done
  return 1
}

bare() { # program source... [-l library...]
  local made=$out/$1 sources=() libraries=() word
  shift
  for word in "$@"; do
    case $word in -l*) libraries+=("$word") ;; *) sources+=("$here/bare/$word") ;; esac
  done
  newer "$made" "${sources[@]}" "$here"/bare/*.h || return 0
  gcc -std=c17 -O2 -g1 -Wall -Wextra -Wshadow -Wconversion -Werror -pthread -o "$made" \
    "${sources[@]}" "${libraries[@]}" || die "${made##*/} does not build, see above"
}

beast() {
  local made=$out/beast
  local sources=("$here"/beast/*.cpp "$top/loadtest/load/flags.cpp")
  newer "$made" "${sources[@]}" "$here"/beast/*.h "$top/loadtest/load/flags.h" || return 0
  g++ -std=c++20 -O2 -g1 -Wall -Wextra -Werror -pthread -o "$made" \
    "${sources[@]}" -lssl -lcrypto || die "beast does not build, see above"
}

go_program() { # program source...
  local made=$out/$1
  shift
  GO111MODULE=off GOFLAGS='' GOCACHE=$out/go-cache GOPATH=/usr/share/gocode \
    go build -o "$made" "${@/#/$here/go/}" || die "${made##*/} does not build, see above"
}

configured() { # program
  printf '#!/usr/bin/env bash\nexec bash %q %s "$@"\n' "$here/start.sh" "$1" >"$out/$1"
  chmod +x "$out/$1"
}

build_preset release treadle-bench
ln -sf "$top/build/release/bin/treadle-bench" "$out/treadle-bench"
bare bare-plaintext plaintext.c answers.c post_echo.c serve.c
bare bare-files files.c serve.c
bare bare-echo echo.c serve.c
bare bare-tls tls.c answers.c serve.c -lssl -lcrypto
go_program go-nethttp nethttp.go sleep.go
go_program go-fasthttp fasthttp.go sleep.go
beast
configured nginx
configured h2o
