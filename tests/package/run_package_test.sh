#!/usr/bin/env bash
# Installs the build into a prefix of its own, builds the projects in consumer/ and examples/ against
# it alone, runs them on two ranks, and holds the examples against the installed drivers:
#
#   run_package_test.sh CMAKE BUILD_FOLDER WORK_FOLDER MPIEXEC PYTHON
set -euo pipefail
cmake=$1 build=$2 work=$3 mpiexec=$4 python=$5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

rm -rf "$work"
"$cmake" --install "$build" --prefix "$work/prefix" >/dev/null
# Moved, so that a path of the build or of the first prefix that crept into the package is noticed.
mv "$work/prefix" "$work/moved"
if grep -rlF -e "$build" -e "$work/prefix" "$work/moved" --include='*.cmake'; then
  echo "FAILED: the installed CMake files above name the build folder or the first prefix"
  exit 1
fi
for project in consumer examples; do
  "$cmake" -S "$here/$project" -B "$work/$project" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$work/moved" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror"
  "$cmake" --build "$work/$project"
done
[[ $(ldd "$work/consumer/consumer") == *libelpa*.so* ]] || { echo "FAILED: ELPA (LGPL) is not linked dynamically"; exit 1; }
"$mpiexec" -n 2 "$work/consumer/consumer"
shopt -s nullglob # a build without the drivers installs none
for driver in "$work"/moved/bin/mercer-*; do # the installed programs start
  "$mpiexec" -n 1 "$driver" --version
done
if [[ -x $work/moved/bin/mercer-krr && -x $python ]]; then
  MERCER_BIN=$work/moved/bin MERCER_MPIEXEC=$mpiexec "$python" "$here/examples_agree.py" "$work/examples"
fi
