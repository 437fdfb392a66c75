#!/usr/bin/env bash
# Installs what the tests need (as root or with sudo), builds with warnings as errors into build-ci/ and
# runs every test:
#
#   bash tests/run.sh [--long] [OPTIONS OF CTEST...]     --long: also the tests that take many minutes, the
#                                                        build by clang, and clang-tidy
#
# Some tests compare with reference kernels and public data sets. They are looked for in
# MERCER_GOLDEN_DIR and MERCER_DATA_DIR, by default ../shared/golden and ../shared/data where these exist.
# Without them those tests are skipped and named at the end; with CI=true that is a failure.
#
# Results depend in their last digits on the processor: on OpenBLAS's kernel, on the instruction set of
# Mercer's own loops, on glibc's functions. The programs of the labels unit and dist (on 2 ranks) that
# compute are therefore run again as on older processors, unless OPTIONS OF CTEST ask for a part.
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

processor() { # the model, and what of it decides which loops are taken
  sed -n 's/^model name[^:]*: */== processor: /p' /proc/cpuinfo | head -n 1
  for flag in avx2 fma avx512f avx512dq avx512vl avx512bw avx512cd; do
    ! grep -qwm1 "$flag" /proc/cpuinfo || printf '%s ' "$flag"
  done | sed 's/^/== instructions: /; s/ $/\n/'
}
processor

# Open MPI's programs on one machine share a session folder, ompi.HOST.UID. The last one to end removes
# it, and another that starts at that moment can fail ("mkdir: File exists"). Therefore this run has
# session folders of its own, and the empty folder `kept` inside keeps them from being removed.
sessions=$(mktemp -d "${TMPDIR:-/tmp}/mercer-tests.XXXXXX")
trap 'rm -rf "$sessions"' EXIT
host=$(uname -n)
mkdir -p "$sessions/ompi.$host.$(id -u)/kept" "$sessions/ompi.${host%%.*}.$(id -u)/kept"
export OMPI_MCA_orte_tmpdir_base=$sessions

started=$SECONDS
launcher=()
[[ -z $(command -v ccache) ]] || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake --preset ci "${launcher[@]}" -DMERCER_BUILD_TESTS=ON -DPython3_EXECUTABLE=/usr/bin/python3 \
  -DMERCER_GOLDEN_DIR="${MERCER_GOLDEN_DIR:-}" -DMERCER_DATA_DIR="${MERCER_DATA_DIR:-}"
cmake --build "$build"
rc=0
if (($# == 0 && ${#selection[@]} == 0)); then  # --long: the other compiler, and its checks (.clang-tidy)
  cmake -B "$build/clang" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=clang++ "${launcher[@]}" \
    -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DMERCER_WARNINGS_AS_ERRORS=ON -DMERCER_BUILD_TESTS=OFF >"$build/clang.log"
  if run-clang-tidy -quiet -p "$build/clang" >>"$build/clang.log" 2>&1; then
    echo "== clang-tidy finds nothing in library and drivers: $(clang-tidy --version | grep -o 'version.*')"
  else
    sed 's/\x1b\[[0-9;]*m//g' "$build/clang.log" | grep -E -A 4 ': (warning|error):' || tail -n 30 "$build/clang.log"
    echo "== clang-tidy finds the above"
    rc=1
  fi
  cmake --build "$build/clang" || rc=1
fi
built=$SECONDS
has() { # FLAG...: of this processor
  local flag
  for flag; do grep -qwm1 "$flag" /proc/cpuinfo || return 1; done
}
skylake=(avx512f avx512dq avx512vl avx512bw avx512cd)
# OpenBLAS takes its oldest kernels on a processor that is newer than itself. The tests take what the
# programs' logs advise there: products of matrices are then several times as fast.
if [[ -z ${OPENBLAS_CORETYPE:-} ]] && "$build/bin/mercer-kernel" --version | grep -q 'kernel Prescott'; then
  if has "${skylake[@]}"; then
    export OPENBLAS_CORETYPE=SkylakeX
  elif has avx2 fma; then
    export OPENBLAS_CORETYPE=Haswell
  fi
fi
version=$("$build/bin/mercer-kernel" --version)
sed 's/^/== /' <<<"$version"

# Tests of several ranks say that they take two cores, but wait for about half of the time, mostly for
# mpirun: twice as many run side by side as there are cores for. Those that measure times run alone.
side_by_side=$((2 * $(env -u OMP_NUM_THREADS nproc)))
ctest --test-dir "$build" --output-on-failure --parallel "$side_by_side" "${selection[@]}" "$@" |
  tee "$build/ctest.log" || rc=$?

# Whole tests that ctest saw as skipped, and single cases inside the test programs (unittest's,
# GoogleTest's), which ctest does not see.
skipped=$({
  sed -n 's/^.*Test *#[0-9]*: \([^ ]*\) .*\*\*\*Skipped.*$/\1/p' "$build/ctest.log"
  sed -n 's/^\(test[^ ]*\) .*\.\.\. skipped .*$/\1/p' "$build/Testing/Temporary/LastTest.log"
  sed -n 's/^\[  SKIPPED \] \([A-Za-z][^ ,]*\.[^ ,]*\).*$/\1/p' "$build/Testing/Temporary/LastTest.log"
} | sort -u)
[[ -z $skipped ]] || printf '== skipped:\n%s\n' "$skipped"
# The same programs as on another processor, but for those that pass messages, read files or measure this
# processor's speed: NAME VARIABLE=VALUE...
again_as_on() {
  local name=$1
  shift
  echo "== again as on $name: $*"
  env "$@" ctest --test-dir "$build" --output-on-failure --parallel "$side_by_side" \
    -L '^(unit|dist)$' -R '^unit_|_on_2$' -E '^(own_init|dist_comm|dist_report|dist_plan)_' | tee -a "$build/ctest.log" || rc=$?
}
if (($# == 0)) && [[ $(uname -m) == x86_64 ]]; then
  # Neither AVX2 nor FMA, in Mercer's loops, OpenBLAS and glibc; AVX2 without AVX-512; and AVX-512
  # with the BLAS kernel that Intel's servers have.
  again_as_on 'a Nehalem' OPENBLAS_CORETYPE=Nehalem MERCER_TEST_INSTRUCTIONS=baseline \
    GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F
  ! has avx2 fma || again_as_on 'a Haswell' OPENBLAS_CORETYPE=Haswell MERCER_TEST_INSTRUCTIONS=avx2
  ! has "${skylake[@]}" || grep -q 'kernel SkylakeX' <<<"$version" || again_as_on 'a Skylake server' OPENBLAS_CORETYPE=SkylakeX
fi
ended=$SECONDS

if [[ ${CI:-} == true && (-z ${MERCER_GOLDEN_DIR:-} || -z ${MERCER_DATA_DIR:-}) ]]; then
  echo "== CI=true: skipping tests because MERCER_GOLDEN_DIR or MERCER_DATA_DIR is missing is a failure"
  ((rc)) || rc=1
fi
grep -E '% tests passed|^No tests were found' "$build/ctest.log" || true
verdict=passed
((rc == 0)) || verdict=FAILED
echo "== tests $verdict (exit code $rc): build $((built - started)) s, tests $((ended - built)) s"
exit "$rc"
