#!/usr/bin/env bash
# Builds the four programs, whatever they need first, and starts treadle-demo:
#   bash apps/run.sh [flags of treadle-demo, such as --listen 127.0.0.1:9000 --procs 1]
# It prints "listening on http://..." once it takes connections. Ctrl-C ends it.
set -euo pipefail
program=apps/run.sh
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/support/setup.sh
. "$top/tests/support/setup.sh"

need_packages "${packages[@]}"
# All that `cmake --install build/release` installs, and no tests.
build_preset release treadle-demo treadle-files treadle-hello treadle-echo
exec "$top/build/release/bin/treadle-demo" "$@"
