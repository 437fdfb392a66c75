# shellcheck shell=bash
# A Slurm of one node with its own munge, for a test: sourced. cluster_start FOLDER starts munged,
# slurmctld and slurmd on free ports with every file in FOLDER, beside whatever Slurm the machine
# has; cluster_stop cancels the jobs and ends the three by pid.

cluster_pids=()

cluster_free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  return 1
}

cluster_daemon() { # NAME COMMAND...: starts it in the background, log in FOLDER/NAME.log
  local name=$1
  shift
  "$@" >"$cluster/$name.log" 2>&1 </dev/null &
  cluster_pids+=("$!")
}

cluster_wait() { # SECONDS COMMAND...: until the command succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.2
  done
}

cluster_node_is_idle() { [[ $(sinfo -h -o %T) == idle ]]; }
cluster_no_jobs() { [[ -z $(squeue -h) ]]; }

cluster_start() {
  cluster=$1
  local node cpus
  node=$(uname -n)
  node=${node%%.*}
  cpus=$(env -u OMP_NUM_THREADS nproc)
  mkdir -p "$cluster"/{state,spool}
  chmod 755 "$cluster"
  (umask 077 && mkdir -p "$cluster/munge" && head -c 128 /dev/urandom >"$cluster/munge/key")
  # A job that is queued again starts no earlier than cred_expire from then: two minutes by default.
  cat >"$cluster/slurm.conf" <<CONF
ClusterName=mercertest
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$(cluster_free_port)
SlurmdPort=$(cluster_free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$cluster/munge.socket,cred_expire=5
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0
MpiDefault=none
ReturnToService=2
KillWait=5
MailProg=/bin/true
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=$((cpus < 2 ? 2 : cpus)) State=UNKNOWN
PartitionName=test Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF=$cluster/slurm.conf
  cluster_daemon munged munged --foreground --force --num-threads=2 --socket="$cluster/munge.socket" \
    --key-file="$cluster/munge/key" --pid-file="$cluster/munge/munged.pid" \
    --seed-file="$cluster/munge/seed" --log-file="$cluster/munge/munged.log"
  cluster_wait 20 test -S "$cluster/munge.socket" || { echo "munged did not start"; return 1; }
  cluster_daemon slurmctld slurmctld -D -f "$SLURM_CONF"
  cluster_daemon slurmd slurmd -D -f "$SLURM_CONF" -N "$node"
  cluster_wait 60 cluster_node_is_idle || { echo "the node did not become idle"; return 1; }
}

cluster_stop() {
  local pid i
  if ((${#cluster_pids[@]} > 1)); then
    scancel --quiet --full -u root 2>/dev/null || true
    cluster_wait 15 cluster_no_jobs || true
  fi
  for ((i = ${#cluster_pids[@]} - 1; i >= 0; --i)); do # munged last: the others speak through it
    pid=${cluster_pids[i]}
    kill "$pid" 2>/dev/null || continue
    for _ in {1..50}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  cluster_pids=()
}
