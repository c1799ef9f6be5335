#!/usr/bin/env bash
# Builds everything and runs every test; the last thing printed is ctest's summary.
#   bash tests/run.sh                        the release build
#   bash tests/run.sh -R 'core\.chan'        flags go to ctest
#   TREADLE_PRESET=asan bash tests/run.sh    or tsan, or debug
set -euo pipefail
program=tests/run.sh
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/support/setup.sh
. "$top/tests/support/setup.sh"

programs=(gdb openssl testssl.sh python3) # used by tests
programs+=(curl golang-go nodejs slowhttptest) # peers: see tests/e2e/peers
# Another peer, but 400 MB of it: where it is wanted, it is installed beforehand.
[ -z "${CI:-}" ] || programs+=(chromium)
preset=${TREADLE_PRESET:-release}
case $preset in
  release | debug) ;;
  asan | tsan) packages+=(clang-19 libclang-rt-19-dev llvm-19) ;;
  *) die "TREADLE_PRESET is \"$preset\", but must be release, debug, asan or tsan" ;;
esac

# All at once where the user has to install them.
[ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || need_packages "${packages[@]}" "${programs[@]}"
need_packages "${packages[@]}"
# What only the tests use is installed while the compiler works.
need_packages "${programs[@]}" &
installing=$!
trap 'wait' EXIT
build_preset "$preset"
wait "$installing" || die "no tests without these packages, see above"
# Most tests wait more than they compute.
exec ctest --test-dir "$top/build/$preset" --output-on-failure --no-tests=error \
  --parallel $((3 * $(nproc))) "$@"
