# shellcheck shell=bash disable=SC2034
# The Debian 12 packages that Mercer needs, and their installation. Sourced by quickstart.sh and by
# tests/run.sh, so that both install the same ones.

# To build and run.
mercer_packages=(
  ca-certificates git g++ cmake ninja-build pkg-config
  openmpi-bin libopenmpi-dev libopenblas-dev libscalapack-openmpi-dev libelpa-dev
  libhdf5-openmpi-dev zlib1g-dev libboost-program-options-dev libfmt-dev nlohmann-json3-dev
  libmuparser-dev librandom123-dev gnuplot-nox
)

# To test, beside those above. Python and its libraries compute results independently; Slurm and munge
# are for the test of the job scripts, rsvg-convert for that of the pictures; clang has the second
# set of warnings and clang-tidy; Doxygen makes the library's reference.
mercer_test_packages=(
  libgtest-dev libbenchmark-dev ccache clang clang-format clang-tidy doxygen
  python3 python3-numpy python3-scipy python3-h5py
  slurm-wlm munge librsvg2-bin procps
)

# Installs those of the named packages that are missing, as root or with sudo. Where none is missing it
# does nothing and needs neither a network nor root.
install_packages() {
  local package missing=() as_root=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ! command -v apt-get >/dev/null; then
    echo "mercer: this script installs Debian packages, and there is no apt-get here; build by hand (README.md) with the equivalents of: ${missing[*]}" >&2
    return 1
  fi
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      echo "mercer: run as root, or have root install: ${missing[*]}" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "== installing ${#missing[@]} packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  without_starting_services "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}

# Runs a command while Debian's policy hook keeps packages from starting their services: the tests
# start Slurm and munge themselves, and no daemon should run on a machine because Mercer was tested
# there. A hook that the machine has already stays in force.
without_starting_services() {
  local hook=/usr/sbin/policy-rc.d rc=0 as_root=()
  ((EUID == 0)) || as_root=(sudo)
  if [[ -e $hook ]]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$hook" >/dev/null
  "${as_root[@]}" chmod 755 "$hook"
  "$@" || rc=$?
  "${as_root[@]}" rm -f "$hook"
  return "$rc"
}
