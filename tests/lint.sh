#!/usr/bin/env bash
# Checks the layout (clang-format) and looks for mistakes (clang-tidy) in every source file.
#   bash tests/lint.sh            both
#   bash tests/lint.sh format     the layout only, in a second
#   bash tests/lint.sh tidy [FILE...]
set -euo pipefail
program=tests/lint.sh
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/support/setup.sh
. "$top/tests/support/setup.sh"
cd "$top"

check_format() {
  need_packages clang-format-19
  find core net http apps tests loadtest \( -name '*.h' -o -name '*.cpp' \) -print0 |
    xargs -0 clang-format-19 --dry-run -Werror
}

check_tidy() {
  need_packages "${packages[@]}" clang-tidy-19
  build_preset release
  local files=("$@")
  [ ${#files[@]} -gt 0 ] || mapfile -t files < <(find core net http apps tests -name '*.cpp')
  printf '%s\0' "${files[@]}" |
    xargs -0 -n 1 -P "$(nproc)" clang-tidy-19 -p build/release --quiet \
      --extra-arg=-Wno-unknown-warning-option
}

case ${1:-all} in
  all) check_format && check_tidy ;;
  format) check_format ;;
  tidy) shift && check_tidy "$@" ;;
  *) die "\"$1\" is neither format nor tidy" ;;
esac
