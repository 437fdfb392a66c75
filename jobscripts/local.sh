#!/usr/bin/env bash
# Runs a Mercer job script on this machine, without Slurm:
#
#   bash jobscripts/local.sh jobscripts/krr.sbatch [-n RANKS] [-t THREADS] [OPTIONS OF THE DRIVER...]
#
# THREADS are those of each rank, by default 1; RANKS is by default the number of cores over THREADS. More ranks than
# cores are allowed, but slow.
set -euo pipefail
usage="usage: bash jobscripts/local.sh SCRIPT.sbatch [-n RANKS] [-t THREADS] [OPTIONS OF THE DRIVER...]"
stop() { echo "local.sh: $*" >&2; exit 2; }
whole() { [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || stop "$1 needs a whole number of at least 1, not '${2:-}'"; }

script=${1:-}
[[ -n $script ]] || stop "$usage"
[[ -f $script ]] || stop "no job script $script; $usage"
shift
# nproc would return OMP_NUM_THREADS, which is not the number of cores.
cores=$(env -u OMP_NUM_THREADS nproc) ranks='' threads=1
while (($#)); do
  case $1 in
    -n) whole "$@"; ranks=$2; shift 2 ;;
    -t) whole "$@"; threads=$2; shift 2 ;;
    *) break ;;
  esac
done
: "${ranks:=$((cores >= threads ? cores / threads : 1))}"
if ((ranks * threads > cores)); then
  echo "local.sh: $ranks ranks x $threads threads on $cores cores: this will be slow" >&2
  export MERCER_OVERSUBSCRIBE=1
fi
MERCER_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export MERCER_HOME MERCER_RANKS=$ranks MERCER_THREADS=$threads
exec bash "$script" "$@"
