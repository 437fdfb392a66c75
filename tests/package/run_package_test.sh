#!/usr/bin/env bash
# Installs the build into a prefix of its own, builds the project in consumer/ against it alone and
# runs it on two ranks:
#
#   run_package_test.sh CMAKE BUILD_FOLDER WORK_FOLDER MPIEXEC
set -euo pipefail
cmake=$1 build=$2 work=$3 mpiexec=$4
consumer=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/consumer

rm -rf "$work"
"$cmake" --install "$build" --prefix "$work/prefix" >/dev/null
# Moved, so that a path of the build or of the first prefix that crept into the package is noticed.
mv "$work/prefix" "$work/moved"
if grep -rlF -e "$build" -e "$work/prefix" "$work/moved" --include='*.cmake'; then
  echo "FAILED: the installed CMake files above name the build folder or the first prefix"
  exit 1
fi
"$cmake" -S "$consumer" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$work/moved" -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror"
"$cmake" --build "$work/build"
[[ $(ldd "$work/build/consumer") == *libelpa*.so* ]] || { echo "FAILED: ELPA (LGPL) is not linked dynamically"; exit 1; }
"$mpiexec" -n 2 "$work/build/consumer"
shopt -s nullglob # a build without the drivers installs none
for driver in "$work"/moved/bin/mercer-*; do # the installed programs start
  "$mpiexec" -n 1 "$driver" --version
done
