#!/usr/bin/env bash
# Builds treadle and its peers for the comparison, into one folder:
#
#   bash loadtest/peers/build.sh DIR
#
# Everything in DIR takes --port N [--workers N] [--root DIR] [--cert PEM --key PEM] where it has
# such routes, listens on 127.0.0.1 and ends on SIGTERM: bare-plaintext, bare-files, bare-echo,
# bare-tls, treadle-bench, go-nethttp, go-fasthttp, beast, and nginx and h2o, which are scripts that
# fill in their configuration.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$(dirname "$here")")
program=loadtest/peers/build.sh
# shellcheck source=../../tests/support/setup.sh disable=SC2154
. "$top/tests/support/setup.sh"

case ${1:-} in
  -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
  '' | -*) echo "$program: needs the folder to build into (see --help)" >&2; exit 2 ;;
esac
[ $# -eq 1 ] || { echo "$program: takes one folder, not $*" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

# gcc comes with g++.
need_packages "${packages[@]}" golang-go nginx-light

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
bare bare-plaintext plaintext.c post_echo.c serve.c
go_program go-nethttp nethttp.go sleep.go
configured nginx
