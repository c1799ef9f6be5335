# shellcheck shell=bash disable=SC2034,SC2154
# Shell functions that apps/run.sh and tests/run.sh share; to be sourced, with $top set to the
# project's root and $program to the caller's name.

# Debian packages that building needs. libstdc++'s and gcc's sanitizers come with g++.
packages=(g++ cmake ninja-build libfmt-dev libspdlog-dev node-llhttp libcli11-dev
  libtomlplusplus-dev libgtest-dev libssl-dev nlohmann-json3-dev pkgconf zlib1g-dev libbrotli-dev
  libzstd-dev)

die() {
  echo "$program: $*" >&2
  exit 1
}

# Sees to it that the given Debian packages are there: installs what is missing where that may be
# done without asking for a password, else names it and ends. Costs some 20 ms when all is there.
need_packages() {
  command -v dpkg-query >/dev/null || return 0  # no Debian: CMake says what it does not find
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null ||
      die "missing packages; install them with: sudo apt-get install ${missing[*]}"
    as_root=(sudo -n)
  fi
  echo "$program: installing ${missing[*]}" >&2
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get could not install: ${missing[*]}"
  fi
  rm -f "$log"
}

# Configures the preset where that was not done, or where the presets have changed since, and builds
# the given targets (all when there are none). What it prints goes to standard error. TREADLE_UNITY=ON
# in the environment is the option of this name in CMakeLists.txt.
build_preset() {
  local preset=$1 dir=$top/build/$1 unity=${TREADLE_UNITY:-OFF}
  shift
  case $preset in asan | tsan) unity=ON ;; esac # as CMakePresets.json has it
  if [ ! -f "$dir/build.ninja" ] || [ "$top/CMakePresets.json" -nt "$dir/build.ninja" ] ||
    ! grep -qxF "TREADLE_UNITY:BOOL=$unity" "$dir/CMakeCache.txt"; then
    (cd "$top" && cmake --preset "$preset" "-DTREADLE_UNITY=$unity") >&2 ||
      die "cannot configure, see above"
  fi
  ninja -C "$dir" "$@" >&2 || die "the build failed, see above"
}
