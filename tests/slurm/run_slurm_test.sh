#!/usr/bin/env bash
# The job scripts on a real Slurm: from sbatch to an HDF5 result, and what happens when srun starts
# singletons, when the programs are missing, and when Slurm warns a job by a signal.
#
#   bash tests/slurm/run_slurm_test.sh FOLDER_OF_THE_PROGRAMS [PYTHON WITH H5PY]
#
# Starts a private Slurm (cluster.sh) and ends it. Needs root and Debian's slurm-wlm and munge;
# leaves with 77 (skipped) without them.
set -euo pipefail
bin=$(realpath "$1") python=${2:-/usr/bin/python3}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=$(cd "$here/../.." && pwd)
source "$here/cluster.sh"

skip() { echo "skipped: $*"; exit 77; }
((EUID == 0)) || skip "a private Slurm needs root"
for program in munged slurmctld slurmd sbatch srun; do
  command -v "$program" >/dev/null || skip "$program is not installed (slurm-wlm, munge)"
done

# The shell that calls may itself be a job; this test's jobs start from a clean slate.
while read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(SLURM|SBATCH|OMPI|PMIX|MERCER)_' || true)

work=$(mktemp -d "${TMPDIR:-/tmp}/mercer-slurm.XXXXXX")
failures=0 ok=0
finish() {
  local rc=$?
  trap - EXIT INT TERM
  cluster_stop
  if ((rc || failures)); then
    tail -n 40 "$work"/cluster/*.log "$work"/*.log 2>/dev/null || true
  fi
  rm -rf "$work"
  exit "$rc"
}
trap finish EXIT
trap 'exit 1' INT TERM

check() { # WHAT COMMAND...
  local what=$1
  shift
  if "$@"; then
    echo "ok: $what ($SECONDS s)"
    ok=$((ok + 1))
  else
    echo "FAILED: $what ($*)"
    failures=$((failures + 1))
  fi
}
says() { grep -qF -- "$2" "$1"; }
state() { # JOB: "COMPLETED 0:0"
  scontrol show job "$1" | sed -n 's/^.*JobState=\([A-Z]*\).*$/\1/p; s/^.*ExitCode=\([0-9:]*\).*$/\1/p' | paste -sd' '
}
is_state() { [[ $(state "$1") == "$2" ]]; }
has_ended() { [[ $(state "$1") =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY) ]]; }
ended_as() { # JOB "STATE CODE"
  cluster_wait 60 is_state "$1" "$2" || { echo "job $1: $(state "$1"), not $2"; return 1; }
}
submit() { # LOG SCRIPT ARGUMENTS...: from Mercer's folder, as a user does; prints the job's number
  local log=$1 script=$2
  shift 2
  (cd "$home" && sbatch --parsable --export="ALL,$exports" --output="$log" "jobscripts/$script" "$@")
}
run_job() { # the same, and waits for its end
  local job
  job=$(submit "$@")
  cluster_wait 240 has_ended "$job" || true
  echo "$job"
}

cluster_start "$work/cluster"
echo "ok: $(sinfo -V) runs on $(uname -n), $(sinfo -h -o '%c cpus')"
exports=MERCER_BIN=$bin,OMPI_MCA_mpi_yield_when_idle=1 # other tests run beside this one
(($(env -u OMP_NUM_THREADS nproc) >= 2)) || exports+=,MERCER_OVERSUBSCRIBE=1

job=$(run_job "$work/krr.log" krr.sbatch --train circle:n=200,freq=3 --test circle:n=50,freq=3 \
  --bias-std 1 --ridge-relative 1e-6 --check --out "$work/krr.h5")
check "krr.sbatch completed" ended_as "$job" "COMPLETED 0:0"
check "its result is readable" "$python" "$here/read_results.py" krr "$work/krr.h5" 200 50

job=$(run_job "$work/spectrum.log" spectrum.sbatch --data circle:n=200,freq=3,grid --bias-std 1 --top 20 \
  --check --out "$work/spectrum.h5")
check "spectrum.sbatch completed" ended_as "$job" "COMPLETED 0:0"
check "its result is readable" "$python" "$here/read_results.py" spectrum "$work/spectrum.h5" 200 20

job=$(run_job "$work/bad.log" krr.sbatch --no-such-option)
check "a job with a wrong option fails with exit code 2" ended_as "$job" "FAILED 2:0"

# shellcheck disable=SC2030,SC2031  # for this job alone
job=$(exports=MERCER_BIN=/nonexistent && run_job "$work/missing.log" spectrum.sbatch)
check "a job without programs fails with exit code 2" ended_as "$job" "FAILED 2:0"
check "and says what to do" says "$work/missing.log" "no /nonexistent/mercer-spectrum: build Mercer first"

rc=0
timeout 200 srun -n 2 --mpi=none "$bin/mercer-spectrum" --data circle:n=20,freq=1 --out "$work/singleton.h5" \
  >"$work/singleton.log" 2>&1 || rc=$?
check "srun without PMIx is refused" test "$rc" -ne 0 -a "$rc" -ne 124
check "and the line says so" says "$work/singleton.log" "srun started 2 separate copies"
check "and nothing was written" test ! -e "$work/singleton.h5"

rc=0
(cd "$home" && SLURM_SUBMIT_DIR=$home MERCER_BIN=$bin timeout 200 srun -n 2 --mpi=none bash jobscripts/krr.sbatch) \
  >"$work/script.log" 2>&1 || rc=$?
check "srun on a job script is refused" test "$rc" -eq 2
check "and the line says so" says "$work/script.log" "started 2 times by srun"

# A training job that is warned before its time limit writes a checkpoint, is queued again, and ends
# with the parameters of a run that was left alone.
training=(--train circle:n=256,freq=5 --arch "dense(1024) relu dense(1)" --bias-std 1 --top 20 --steps 2000 --safety 0.5)
job=$(run_job "$work/whole.log" train.sbatch "${training[@]}" --checkpoint "$work/whole.checkpoint.h5" --out "$work/whole.h5")
check "train.sbatch completed" ended_as "$job" "COMPLETED 0:0"
job=$(submit "$work/train.log" train.sbatch "${training[@]}" --checkpoint "$work/train.checkpoint.h5" \
  --checkpoint-every 50 --out "$work/train.h5")
check "a long training job has written a checkpoint" cluster_wait 120 test -e "$work/train.checkpoint.h5"
scancel --batch --signal=USR1 "$job"
check "the job was queued again" cluster_wait 120 says "$work/train.log" "queueing job $job again"
check "it went on from its checkpoint" cluster_wait 240 says "$work/train.log" "going on from $work/train.checkpoint.h5"
check "and completed" cluster_wait 240 is_state "$job" "COMPLETED 0:0"
check "with the parameters of the undisturbed run, to the bit" "$python" "$here/read_results.py" same "$work/train.h5" "$work/whole.h5"

# What Slurm does 120 s before the time limit: USR1 to the batch shell. A stand-in for a driver that
# leaves a mark and exits with 130 shows that the signal reached both ranks and the code came back.
mkdir "$work/bin"
cat >"$work/bin/mercer-krr" <<STUB
#!/usr/bin/env bash
trap 'touch "$work/signalled.\$OMPI_COMM_WORLD_RANK"; exit 130' USR1
touch "$work/ready.\$OMPI_COMM_WORLD_RANK"
for _ in {1..600}; do sleep 0.1; done
STUB
chmod +x "$work/bin/mercer-krr"
# shellcheck disable=SC2031
job=$(exports=${exports/"$bin"/$work/bin} && submit "$work/signal.log" krr.sbatch)
check "both ranks of a long job are up" cluster_wait 120 test -e "$work/ready.0" -a -e "$work/ready.1"
scancel --batch --signal=USR1 "$job"
check "USR1 reached both ranks, exit code 130 came back" ended_as "$job" "FAILED 130:0"
check "rank 0 was told" test -e "$work/signalled.0"
check "rank 1 was told" test -e "$work/signalled.1"

echo "== Slurm test: $ok checks passed, $failures failed"
((failures == 0))
