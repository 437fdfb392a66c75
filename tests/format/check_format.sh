#!/usr/bin/env bash
# check_format.sh CLANG_FORMAT: names every C++ file that clang-format would change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -d '' files < <(find include src drivers tests -name '*.[ch]pp' -print0)
((${#files[@]} > 20)) || { echo "FAILED: only ${#files[@]} C++ files found"; exit 1; }
bad=()
for file in "${files[@]}"; do
  "$1" --dry-run --Werror "$file" 2>/dev/null || bad+=("$file")
done
if ((${#bad[@]})); then
  printf 'not as clang-format writes it: %s\n' "${bad[@]}"
  echo "mend with: $1 -i ${bad[*]}"
  exit 1
fi
echo "${#files[@]} files are as clang-format writes them"
