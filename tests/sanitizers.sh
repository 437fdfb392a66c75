#!/usr/bin/env bash
# The tests of one process and of two ranks under the address and the undefined-behaviour sanitizer, leaks
# included, in build-asan/ (about an hour on 2 cores, most of it the build); OPTIONS as ctest's:
#
#   bash tests/sanitizers.sh [OPTIONS OF CTEST...]        e.g. -R pipe_krr
#
# tests/support/lsan.supp names what Open MPI keeps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source jobscripts/packages.sh
install_packages "${mercer_packages[@]}" "${mercer_test_packages[@]}"
launcher=()
[[ -z $(command -v ccache) ]] || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
for data in golden data; do
  variable=MERCER_${data^^}_DIR
  [[ -n ${!variable:-} || ! -d ../shared/$data ]] || export "$variable=$(cd "../shared/$data" && pwd)"
done
cmake --preset asan "${launcher[@]}" -DMERCER_BUILD_TESTS=ON \
  -DMERCER_GOLDEN_DIR="${MERCER_GOLDEN_DIR:-}" -DMERCER_DATA_DIR="${MERCER_DATA_DIR:-}"
cmake --build build-asan
(($# > 0)) || set -- -R '^unit_|_on_2$' -LE '^long$'
ctest --test-dir build-asan --output-on-failure --parallel "$(nproc)" "$@"
