#!/usr/bin/env bash
# From a fresh Debian 12 to a first result: installs the packages (as root or with sudo), builds
# Mercer into build/ and runs the main jobs on two ranks: the spectrum of an NTK matrix, kernel
# ridge regression with that kernel K and with a modified-spectrum kernel K_g, and training.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source jobscripts/packages.sh

install_packages "${mercer_packages[@]}"
echo "== building into build/"
cmake --preset release -DMERCER_BUILD_TESTS=OFF >/dev/null
cmake --build build

export MERCER_HOME=$PWD MERCER_RANKS=2
(($(env -u OMP_NUM_THREADS nproc) >= MERCER_RANKS)) || export MERCER_OVERSUBSCRIBE=1
source jobscripts/environment.sh
out=results/quickstart
mkdir -p "$out"

# 512 points on the circle, the NTK of one hidden ReLU layer with biases.
kernel=(--depth 1 --bias-std 1)
mercer_job mercer-spectrum --data circle:n=512,freq=5,grid "${kernel[@]}" --check \
  --out "$out/spectrum.h5" --plot "$out/spectrum.svg"

# Targets sin(f theta) on random points of the circle. K learns low frequencies first: its
# eigenvalues fall with f, and the ridge suppresses those below it. K_g sets the first 61 eigenvalues,
# which belong to the frequencies up to 30, to the largest.
frequencies=(1 5 10 20)
ridge=1e-1 top=61 g=l1
regression() { # NAME FREQUENCY OPTIONS...: a fit, which leaves NAME-FREQUENCY.{h5,svg,json,log}
  local name=$out/$1-$2 data=circle:n=512,freq=$2
  shift 2
  if ! mercer_job mercer-krr --train "$data" --test "$data,grid" "${kernel[@]}" --ridge-relative "$ridge" "$@" \
    --check --quiet --out "$name.h5" --plot "$name.svg" --json "$name.json" >"$name.log" 2>&1; then
    cat "$name.log" >&2
    exit 1
  fi
}
rmse() { sed -n 's/^.*"rmse": *\([-+0-9.eE]*\).*$/\1/p' "$1" | head -n 1; }

echo "== kernel ridge regression on 512 random points of the circle, ridge $ridge of trace(K)/n"
for f in "${frequencies[@]}"; do
  regression K "$f"
  regression Kg "$f" --top "$top" --g "$g"
done
printf '%-24s%18s%18s\n' 'target' 'RMSE with K' 'RMSE with K_g'
for f in "${frequencies[@]}"; do
  printf '%-24s%18.3e%18.3e\n' "sin($f theta)" "$(rmse "$out/K-$f.json")" "$(rmse "$out/Kg-$f.json")"
done
echo "K_g: the first $top eigenvalues of K set to $g, the largest. The ridge is strong, to show what g does;"
echo "with a ridge chosen for it (--ridge loo) K does well here too. Results and pictures: $out/*.h5, $out/*.svg"

# A small version of the paper's Figure 1: iterations of gradient descent, stochastic and full batch, against frequency.
echo "== training: a wide network by gradient descent (S = I) and preconditioned, in batches and with all rows"
rm -rf "$out/figure1"
bash jobscripts/figure1.sbatch --small --out "$out/figure1"
