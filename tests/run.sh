#!/usr/bin/env bash
# Installs what the tests need (as root or with sudo), builds with warnings as errors into build-ci/
# and runs every test:
#
#   bash tests/run.sh [--long] [OPTIONS OF CTEST...]     --long: also the tests that take many minutes
#
# Some tests compare with reference kernels and public data sets. They are looked for in
# MERCER_GOLDEN_DIR and MERCER_DATA_DIR, by default ../shared/golden and ../shared/data where these exist.
# Without them those tests are skipped and named at the end; with CI=true that is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source jobscripts/packages.sh
build='build-ci' # the ci preset's folder

selection=(-LE '^long$')
if [[ ${1:-} == --long ]]; then
  selection=()
  shift
fi

install_packages "${mercer_packages[@]}" "${mercer_test_packages[@]}"

default_folder() { # VARIABLE FOLDER
  if [[ -z ${!1:-} && -d $2 ]]; then
    export "$1=$(cd "$2" && pwd)"
  fi
  echo "== $1: ${!1:-none}"
}
default_folder MERCER_GOLDEN_DIR ../shared/golden
default_folder MERCER_DATA_DIR ../shared/data

started=$SECONDS
launcher=()
[[ -z $(command -v ccache) ]] || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake --preset ci "${launcher[@]}" -DMERCER_BUILD_TESTS=ON -DPython3_EXECUTABLE=/usr/bin/python3 \
  -DMERCER_GOLDEN_DIR="${MERCER_GOLDEN_DIR:-}" -DMERCER_DATA_DIR="${MERCER_DATA_DIR:-}"
cmake --build "$build"
built=$SECONDS

# Tests of several ranks say that they take two cores; the others run side by side.
rc=0
ctest --test-dir "$build" --output-on-failure --parallel "$(env -u OMP_NUM_THREADS nproc)" "${selection[@]}" "$@" |
  tee "$build/ctest.log" || rc=$?
ended=$SECONDS

# Whole tests that ctest saw as skipped, and single cases inside the test programs (unittest's,
# GoogleTest's), which ctest does not see.
skipped=$({
  sed -n 's/^.*Test *#[0-9]*: \([^ ]*\) .*\*\*\*Skipped.*$/\1/p' "$build/ctest.log"
  sed -n 's/^\(test[^ ]*\) .*\.\.\. skipped .*$/\1/p' "$build/Testing/Temporary/LastTest.log"
  sed -n 's/^\[  SKIPPED \] \([A-Za-z][^ ,]*\.[^ ,]*\).*$/\1/p' "$build/Testing/Temporary/LastTest.log"
} | sort -u)
[[ -z $skipped ]] || printf '== skipped:\n%s\n' "$skipped"
if [[ ${CI:-} == true && (-z ${MERCER_GOLDEN_DIR:-} || -z ${MERCER_DATA_DIR:-}) ]]; then
  echo "== CI=true: skipping tests because MERCER_GOLDEN_DIR or MERCER_DATA_DIR is missing is a failure"
  ((rc)) || rc=1
fi
grep -E '% tests passed|^No tests were found' "$build/ctest.log" || true
verdict=passed
((rc == 0)) || verdict=FAILED
echo "== tests $verdict (exit code $rc): build $((built - started)) s, tests $((ended - built)) s"
exit "$rc"
