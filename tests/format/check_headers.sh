#!/usr/bin/env bash
# check_headers.sh COMPILER FLAGS...: every public header compiles on its own, before any other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -t headers < <(cd include && find mercer -name '*.hpp' | sort)
((${#headers[@]} > 20)) || { echo "FAILED: only ${#headers[@]} headers found"; exit 1; }
check() { # HEADER COMPILER FLAGS...
  local header=$1
  shift
  echo "#include \"$header\"" | "$@" -std=c++20 -fsyntax-only -Iinclude -x c++ - || { echo "FAILED: $header"; return 1; }
}
export -f check
printf '%s\n' "${headers[@]}" | xargs -P "$(nproc)" -I{} bash -c 'check "$@"' check {} "$@"
echo "${#headers[@]} headers compile on their own"
