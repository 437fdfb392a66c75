# shellcheck shell=bash
# What every Mercer job needs around its driver. The job scripts source it, under Slurm or started by
# local.sh. Defines mercer_job, which runs one driver on the job's ranks and passes signals on.

# ---- Adapt to your cluster here ------------------------------------------------------------------
# The modules that Mercer was built with, for example (where "module: command not found" comes, source
# your site's modules.sh first, e.g. /etc/profile.d/modules.sh):
#   module purge
#   module load gcc openmpi scalapack elpa hdf5
# --------------------------------------------------------------------------------------------------

mercer_stop() {
  echo "${0##*/}: $*" >&2
  exit 2
}

# srun on the script itself would start the whole job once for each task.
if [[ ${SLURM_STEP_NUM_TASKS:-1} =~ ^[0-9]+$ ]] && ((${SLURM_STEP_NUM_TASKS:-1} > 1)); then
  mercer_stop "started $SLURM_STEP_NUM_TASKS times by srun: submit it with sbatch, it calls mpirun itself"
fi

mercer_ranks=${MERCER_RANKS:-${SLURM_NTASKS:-}}
[[ $mercer_ranks =~ ^[1-9][0-9]*$ ]] ||
  mercer_stop "how many ranks? Submit with sbatch (--ntasks=N), or: bash jobscripts/local.sh $0 -n N ..."

# One BLAS thread a rank, unless the job asks for --cpus-per-task=T. More threads than cores slow a
# run down 25 times and more.
mercer_threads=${MERCER_THREADS:-${SLURM_CPUS_PER_TASK:-1}}
[[ $mercer_threads =~ ^[1-9][0-9]*$ ]] || mercer_stop "MERCER_THREADS is '$mercer_threads': give a whole number from 1"
export OMP_NUM_THREADS=$mercer_threads OPENBLAS_NUM_THREADS=$mercer_threads

# Network file systems often refuse the locks that HDF5 asks for.
export HDF5_USE_FILE_LOCKING=FALSE

# Open MPI refuses to run as root (containers, fresh machines) unless both of these are set.
if ((EUID == 0)); then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# More ranks than cores (to try things out on a small machine) only when MERCER_OVERSUBSCRIBE asks
# for it. Waiting ranks then yield their core.
mercer_mpirun=(mpirun -n "$mercer_ranks")
if [[ ${MERCER_OVERSUBSCRIBE:-0} != 0 ]]; then
  mercer_mpirun+=(--oversubscribe --bind-to none --mca mpi_yield_when_idle 1)
elif ((mercer_threads > 1)); then
  mercer_mpirun+=(--map-by "slot:PE=$mercer_threads")
fi

# Prints a command as it could be typed, quoted where necessary.
mercer_print() {
  local word
  for word in "$@"; do
    [[ $word =~ ^[[:alnum:]_.,:=/+-]+$ ]] && printf ' %s' "$word" || printf ' %q' "$word"
  done
  printf '\n'
}

# mercer_job DRIVER OPTIONS...
# Runs the driver under mpirun in the background, so that this shell can handle Slurm's signals:
# USR1 (which the job scripts ask for before the time limit, see --signal), USR2 and TERM go to
# mpirun, which passes them to the ranks; INT and HUP go there as TERM.
# Returns mpirun's exit code; mercer_signal names the last signal that came, if any.
mercer_signal=
mercer_job() {
  local driver=$1 bin=${MERCER_BIN:-$MERCER_HOME/build/bin} program pid rc signalled
  shift
  program=$bin/$driver
  [[ -x $program ]] || mercer_stop "no $program: build Mercer first (bash jobscripts/quickstart.sh), or set MERCER_BIN to the folder of its programs"
  command -v mpirun >/dev/null || mercer_stop "no mpirun in PATH: load the MPI that Mercer was built with (jobscripts/environment.sh)"
  ((mercer_threads == 1)) || set -- --threads "$mercer_threads" "$@"
  printf '== %s, %s ranks x %s threads on %s\n==' "$(date -Is)" "$mercer_ranks" "$mercer_threads" "${SLURM_JOB_NODELIST:-$(uname -n)}"
  mercer_print "${mercer_mpirun[@]}" "$program" "$@"

  "${mercer_mpirun[@]}" "$program" "$@" &
  pid=$!
  trap 'signalled=1 mercer_signal=USR1; kill -USR1 "$pid" 2>/dev/null || true' USR1
  trap 'signalled=1 mercer_signal=USR2; kill -USR2 "$pid" 2>/dev/null || true' USR2
  trap 'signalled=1 mercer_signal=TERM; kill -TERM "$pid" 2>/dev/null || true' TERM INT HUP
  while :; do # a trapped signal ends wait early, with the signal's code instead of mpirun's
    signalled=0 rc=0
    wait "$pid" || rc=$?
    ((signalled)) || break
  done
  trap - USR1 USR2 TERM INT HUP
  printf '== %s, %s ended with exit code %s\n' "$(date -Is)" "$driver" "$rc"
  return "$rc"
}

# mercer_checkpoint OPTIONS...: the value of --checkpoint among a driver's options, or nothing.
mercer_checkpoint() {
  local word previous='' found=''
  for word in "$@"; do
    [[ $previous != --checkpoint ]] || found=$word
    [[ $word != --checkpoint=* ]] || found=${word#*=}
    previous=$word
  done
  printf '%s' "$found"
}

# mercer_restartable_job DRIVER OPTIONS...
# The same as mercer_job for options with --checkpoint FILE: goes on from FILE where it is there, and
# where Slurm's warning ended the driver (exit code 130), queues the job again to go on.
mercer_restartable_job() {
  local checkpoint rc=0
  checkpoint=$(mercer_checkpoint "${@:2}")
  if [[ -n $checkpoint && -e $checkpoint && " $* " != *" --resume "* ]]; then
    echo "== going on from $checkpoint"
    set -- "$@" --resume
  fi
  mercer_job "$@" || rc=$?
  if ((rc == 130)) && [[ $mercer_signal == USR1 && -n ${SLURM_JOB_ID:-} && -n $checkpoint && -e $checkpoint ]]; then
    echo "== $(date -Is), queueing job $SLURM_JOB_ID again"
    scontrol requeue "$SLURM_JOB_ID"
  fi
  return "$rc"
}

# mercer_job_to_the_end DRIVER OPTIONS...
# mercer_restartable_job with a checkpoint of the job's own where the options name none, in its folder:
# DRIVER-JOB.checkpoint.h5, or DRIVER-local.checkpoint.h5 without Slurm. It is removed when the job is done.
mercer_job_to_the_end() {
  local own="$1-${SLURM_JOB_ID:-local}.checkpoint.h5" rc=0
  [[ -z $(mercer_checkpoint "${@:2}") ]] || own=''
  [[ -z $own ]] || set -- "$@" --checkpoint "$own"
  mercer_restartable_job "$@" || rc=$?
  if [[ -n $own ]] && ((rc == 0)); then
    rm -f "$own" "$own".S-* # the second is what mercer-train keeps of S
  elif [[ -n $own && -e $own ]]; then
    echo "== $own is kept: the same command goes on from it; remove it to begin anew"
  fi
  return "$rc"
}
