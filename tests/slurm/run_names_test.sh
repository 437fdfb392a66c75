#!/usr/bin/env bash
# Job scripts without Slurm. Folders of hostile names: nothing of a name is run, by a shell or by
# gnuplot, and the results lie where they were asked for. Results of another job are not taken for
# this one's, and checkpoints are kept. Drivers and mpirun are stand-ins; gnuplot is the machine's.
#
#   bash tests/slurm/run_names_test.sh
#
# Leaves with 77 (skipped) where there is no gnuplot.
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
command -v gnuplot >/dev/null || { echo "skipped: no gnuplot"; exit 77; }
while read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(SLURM|SBATCH|OMPI|PMIX|MERCER)_' || true)
work=$(mktemp -d "${TMPDIR:-/tmp}/mercer-names.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/place"

# mpirun: the program and its options once. A driver: the files that it is asked for.
cat >"$work/bin/mpirun" <<'STUB'
#!/usr/bin/env bash
while [[ $1 != */mercer-* ]]; do shift; done
exec "$@"
STUB
cat >"$work/bin/mercer-train" <<'STUB'
#!/usr/bin/env bash
rows=60000 words=("$@")
for i in "${!words[@]}"; do
  [[ ${words[i]} != --limit ]] || rows=${words[i + 1]}
  [[ ${words[i]} != --top ]] || top=${words[i + 1]}
  [[ ${words[i]} != --checkpoint || ! -e fail ]] || { touch "${words[i + 1]}" && exit 130; }
done
echo "options: $*"
while (($#)); do
  case $1 in
    --json) printf '{\n  "n": %s,\n  "top": "%s",\n  "steps": 12,\n  "lambda_max": 1.5,\n  "ending": "converged"\n}\n' "$rows" "${top:-}" >"$2" ;;
    --csv) printf 'step,loss,residual\n0,1,1\n6,0.5,0.2\n12,0.1,0.01\n' >"$2" ;;
    --out) printf x >"$2" ;;
  esac
  shift
done
STUB
chmod +x "$work/bin/mpirun" "$work/bin/mercer-train"
cp "$work/bin/mercer-train" "$work/bin/mercer-spectrum"
cp "$work/bin/mercer-train" "$work/bin/mercer-krr"
cp "$work/bin/mercer-train" "$work/bin/mercer-kernel"
export PATH=$work/bin:$PATH MERCER_BIN=$work/bin MERCER_HOME=$home MERCER_RANKS=2
cd "$work/place"

failures=0
check() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@"; then echo "ok: $what"; else echo "FAILED: $what ($*)"; failures=$((failures + 1)); fi
}
nothing_ran() { [[ ! -e P && ! -e ../P ]] && [[ -z $(find "$work" "$home" -maxdepth 3 -name P -newer "$work/bin/mpirun") ]]; }

names=("x';system('touch P');y='" $'-a=b "$(touch P)`touch P`\n; touch P')
for name in "${names[@]}"; do
  rc=0
  bash "$home/jobscripts/figure1.sbatch" --small --out "$name" >figure1.log 2>&1 || rc=$?
  shown=$(printf '%q' "$name")
  ((rc == 0)) || cat figure1.log
  check "figure1.sbatch --out $shown ends well" test "$rc" -eq 0
  for file in iterations.csv figure1.svg iterations.svg curves.svg; do
    check "and leaves $file there" test -s "./$name/$file"
  done
  check "and runs nothing of its name" nothing_ran

  mkdir -p "./of $name"
  touch "./of $name"/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz
  rc=0
  bash "$home/jobscripts/mnist60k.sbatch" "./of $name" --out "$name" >mnist.log 2>&1 || rc=$?
  ((rc == 0)) || cat mnist.log
  check "mnist60k.sbatch with such folders ends well" test "$rc" -eq 0
  check "and leaves its results there" test -s "./$name/krr.json"
  check "and runs nothing of its name" nothing_ran
done

mkdir mnist
touch mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte.gz
mnist() { rc=0; bash "$home/jobscripts/mnist60k.sbatch" mnist "$@" >mnist.log 2>&1 || rc=$?; }
mnist --limit 200 --top 5
mnist
check "a whole job after one of 200 images computes its own" grep -q '^options:.*mnist60k-auto/spectrum' mnist.log
mnist
check "and is skipped where it is done" grep -q 'mnist60k-auto/spectrum.h5 exists: skipped' mnist.log
mnist --limit 200 --out ./results/mnist60k-auto
check "results of other images are refused" test "$rc" -eq 2
check "by a line that says so" grep -q 'is of 60000 images, not 200' mnist.log
mnist --top 7 --out ./results/mnist60k-auto
check "those of another top too" grep -q 'holds the top 200, not 7' mnist.log

rc=0
touch fail
bash "$home/jobscripts/kernel.sbatch" --data circle:n=64 --arch lenet5 --out K.h5 >kernel.log 2>&1 || rc=$?
check "an interrupted assembly ends with 130" test "$rc" -eq 130
check "and keeps its entries" test -e mercer-kernel-local.checkpoint.h5
rm fail
bash "$home/jobscripts/kernel.sbatch" --data circle:n=64 --arch lenet5 --out K.h5 >>kernel.log 2>&1
check "from which the same command goes on" grep -q '^options:.*--resume' kernel.log
check "and they are removed at the end" test ! -e mercer-kernel-local.checkpoint.h5

train() { rc=0; bash "$home/jobscripts/train.sbatch" --train circle:n=64 "$@" >train.log 2>&1 || rc=$?; }
touch fail
train
check "an interrupted training ends with 130" test "$rc" -eq 130
check "and keeps its checkpoint" test -e mercer-train-local.checkpoint.h5
check "and says so" grep -q 'mercer-train-local.checkpoint.h5 is kept' train.log
rm fail
train --resume
check "from which --resume goes on" grep -q '^options:.*--resume' train.log
check "and it is removed at the end" test ! -e mercer-train-local.checkpoint.h5
bash "$home/jobscripts/krr.sbatch" --train circle:n=64 --checkpoint c.h5 >krr.log
touch c.h5
bash "$home/jobscripts/krr.sbatch" --train circle:n=64 --checkpoint c.h5 >>krr.log
check "krr.sbatch goes on from a checkpoint that is there" test "$(grep -c -e '--resume' krr.log)" -eq 2

rc=0
MERCER_THREADS='a[$(touch P)]' bash "$home/jobscripts/krr.sbatch" >threads.log 2>&1 || rc=$?
check "threads that are no number are refused" test "$rc" -eq 2
check "and not evaluated" nothing_ran

# A gnuplot that fails: the numbers are there, and the job has ended well.
printf '#!/bin/sh\nexit 3\n' >"$work/bin/gnuplot"
chmod +x "$work/bin/gnuplot"
rc=0
bash "$home/jobscripts/figure1.sbatch" --small --out failing >failing.log 2>&1 || rc=$?
check "a failing gnuplot is a warning" test "$rc" -eq 0
check "that says so" grep -q "warning: gnuplot did not draw figure1.svg" failing.log
check "beside the numbers" test -s failing/iterations.csv

((failures == 0))
