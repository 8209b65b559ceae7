#!/usr/bin/env bash
# A real SLURM cluster of several virtual nodes on this one machine, for the tests. It overwrites /etc/slurm.
#
#   cluster.sh install                     Debian's packages (apt; as root)
#   cluster.sh start [N] [--no-accounting] N nodes n1 … nN (4), 1 CPU and 5000 MB each; a fresh cluster every time
#              [--no-user-signal]          … where nobody is warned of a preemption by the job's --signal
#   cluster.sh status                      0 when our controller answers and every node is up
#   cluster.sh wait-idle                   until no job is left and every node is idle (a minute at most)
#   cluster.sh stop                        end the daemons and every job; also clears up after a half-dead cluster
#   cluster.sh kill-node nK                the machine nK is gone at once: slurmd, its jobs and everything below them
#   cluster.sh revive-node nK              … and is back
#   cluster.sh kill-slurmd nK              only the daemon: the node looks dead while its jobs go on (zombies)
#   cluster.sh revive-slurmd nK            … and is back; it ends the zombies that it finds
#   cluster.sh user-signal on|off          preemption sends the job's --signal first, or SIGTERM at once
#   cluster.sh kill-controller             slurmctld is gone: squeue and sbatch get no answer; running jobs go on
#   cluster.sh revive-controller           … and is back, with its queue
#
# Partitions: main (default) · low (preempted by high: the job's --signal, then 10 s grace, then requeued) · high.
# With accounting (slurmdbd and MariaDB) sacct answers; with --no-accounting it fails, as on clusters without one.
# Worth knowing: a dead node is noticed after some 20 s; a requeued job waits about 2 minutes for its BeginTime
# (`scontrol update jobid=N starttime=now` ends that); memory limits are enforced by a look once a second.
#
# PYTAU_TEST_CLUSTER_DIR (state and logs), PYTAU_TEST_CLUSTER_MAX_ARRAY (1001), PYTAU_TEST_CLUSTER_MIN_JOB_AGE (300 s).
set -euo pipefail

NAME=pytautest
DIR=${PYTAU_TEST_CLUSTER_DIR:-/tmp/pytau-hpc-test-cluster}
ETC=/etc/slurm
MARK="# written by pytau_hpc's tests/slurm/cluster.sh"
CONTROLLER_PORT=6817 ACCOUNTING_PORT=6819 FIRST_NODE_PORT=17001 DATABASE_PORT=33917

say() { echo "cluster: $*" >&2; }
die() { say "$*"; exit 1; }

# eventually SECONDS COMMAND…: try every fifth of a second until the command succeeds
eventually() {
  local tries=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    ((tries-- > 0)) || return 1
    sleep 0.2
  done
}

# ------------------------------------------------------------------------------------------------------------- install

have_everything() {
  local program
  for program in slurmctld slurmd slurmdbd sbatch munged mariadbd mariadb-install-db pgrep flock; do
    command -v "$program" >/dev/null || return 1
  done
}

install_packages() {
  have_everything && { say "already installed: $(slurmctld -V)"; return; }
  export DEBIAN_FRONTEND=noninteractive
  local attempt log
  log=$(mktemp)
  for attempt in 1 2 3; do # mirrors have bad minutes
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends \
      slurm-wlm slurmdbd munge mariadb-server mariadb-client procps util-linux hostname; then
      have_everything && break
    fi >"$log" 2>&1
    say "apt failed (attempt $attempt of 3); its last lines:"
    tail -n 5 "$log" >&2
    sleep $((attempt * 5))
  done
  rm -f "$log"
  have_everything || die "SLURM could not be installed"
  say "installed: $(slurmctld -V)"
}

# ----------------------------------------------------------------------------------------------------- configuration

write_config() {
  local nodes=$1 accounting=$2 user_signal=$3 host
  host=$(hostname -s)
  mkdir -p "$ETC"
  if [ -f "$ETC/slurm.conf" ] && ! grep -qF "$MARK" "$ETC/slurm.conf"; then
    cp "$ETC/slurm.conf" "$ETC/slurm.conf.before-pytau-tests"
    say "kept the former $ETC/slurm.conf as slurm.conf.before-pytau-tests"
  fi
  {
    cat <<CONF
$MARK; state and logs: $DIR
ClusterName=$NAME
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$CONTROLLER_PORT
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none

# One folder a node. slurmd and its slurmstepds work in the folder of their log, which is how kill-node finds them.
StateSaveLocation=$DIR/controller/state
SlurmctldPidFile=$DIR/controller/slurmctld.pid
SlurmctldLogFile=$DIR/controller/slurmctld.log
SlurmdSpoolDir=$DIR/nodes/%n/spool
SlurmdPidFile=$DIR/nodes/%n/slurmd.pid
SlurmdLogFile=$DIR/nodes/%n/slurmd.log

# No cgroups: containers rarely allow them. Memory is polled, and a job over its request is killed as OUT_OF_MEMORY.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory

PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$([ "$user_signal" = yes ] || echo "#")SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=sched_min_interval=200000,bf_interval=2,batch_sched_delay=0,preempt_youngest_first
JobRequeue=1
MaxArraySize=${PYTAU_TEST_CLUSTER_MAX_ARRAY:-1001}
MaxJobCount=100000
MinJobAge=${PYTAU_TEST_CLUSTER_MIN_JOB_AGE:-300}

# Impatient, since a test waits.
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=5
InactiveLimit=0
OverTimeLimit=0
ReturnToService=2
CONF
    if [ "$accounting" = yes ]; then
      echo "AccountingStorageType=accounting_storage/slurmdbd"
      echo "AccountingStorageHost=127.0.0.1"
      echo "AccountingStoragePort=$ACCOUNTING_PORT"
      echo "AccountingStorageEnforce=limits"
    fi
    echo "NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1" \
      "Port=[$FIRST_NODE_PORT-$((FIRST_NODE_PORT + nodes - 1))] CPUs=1 RealMemory=5000 State=UNKNOWN"
    local common="Nodes=ALL DefMemPerCPU=1000 MaxTime=1:00:00 State=UP"
    echo "PartitionName=main $common PriorityTier=5 PreemptMode=OFF Default=YES"
    echo "PartitionName=low $common PriorityTier=1 PreemptMode=REQUEUE GraceTime=10"
    echo "PartitionName=high $common PriorityTier=10 PreemptMode=OFF"
  } >"$ETC/slurm.conf"

  cat >"$ETC/slurmdbd.conf" <<CONF
$MARK
AuthType=auth/munge
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$ACCOUNTING_PORT
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DATABASE_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
LogFile=$DIR/accounting/slurmdbd.log
PidFile=$DIR/accounting/slurmdbd.pid
CONF
  chmod 600 "$ETC/slurmdbd.conf"

  # From 23.11 on slurmd looks for cgroups even where no plugin asks for them, and does not start without.
  rm -f "$ETC/cgroup.conf"
  local version
  version=$(slurmctld -V | sed -E 's/.* ([0-9]+)\.([0-9]+).*/\1\2/')
  if [ "$version" -ge 2311 ]; then echo "CgroupPlugin=disabled" >"$ETC/cgroup.conf"; fi
}

# ------------------------------------------------------------------------------------------------ processes of our own

# The daemons of this cluster, by the folder that they work in: `working_below FOLDER`
working_below() {
  local process folder
  for process in /proc/[0-9]*; do
    folder=$(readlink "$process/cwd" 2>/dev/null) || continue
    case $folder in "$1" | "$1/"* | "$1 (deleted)") ;; *) continue ;; esac
    case $(cat "$process/comm" 2>/dev/null) in slurm* | mariadb* | mysqld*) basename "$process" ;; esac
  done
}

# The processes of jobs, by what slurmstepd put into their environment: `with_variable NAME=VALUE`
with_variable() { { grep -slzxF -- "$1" /proc/[0-9]*/environ || true; } | cut -d/ -f3; }

# Pids on stdin → the same and everything below them. Zombies are dead already, and pid 1 of a container may never
# collect them.
and_descendants() {
  awk 'NR == FNR { wanted[$1]; next }
       { parent[$1] = $2; state[$1] = $3 }
       END { for (p in parent) for (q = p; q > 1; q = parent[q]) if (q in wanted) { if (state[p] !~ /^Z/) print p; break } }' \
    - <(ps -eo pid=,ppid=,stat=)
}

has_ended() { [ ! -r "/proc/$1/stat" ] || grep -q "^State:.Z" "/proc/$1/status"; }

# kill -9 for everything that the given function lists, until nothing is left (a dying tree may still fork)
destroy() {
  local pids
  for _ in 1 2 3 4 5; do
    pids=$("$@" | sort -un | { grep -vxE "$$|$BASHPID" || true; })
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086  # one word a pid
    kill -9 $pids 2>/dev/null || true
    sleep 0.2
  done
}

processes_of_node() { { working_below "$DIR/nodes/$1"; with_variable "SLURMD_NODENAME=$1"; } | and_descendants; }
processes_of_nodes() { { working_below "$DIR/nodes"; with_variable "SLURM_CLUSTER_NAME=$NAME"; } | and_descendants; }
other_processes() { working_below "$DIR"; }

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Ask the daemon in a pid file to end, wait, insist. A stale file may name somebody else by now: the folder decides.
end_daemon() {
  local file=$1 pid
  [ -f "$file" ] || return 0
  pid=$(cat "$file")
  if [ -n "$pid" ] && working_below "$DIR" | grep -qx "$pid"; then
    kill "$pid" 2>/dev/null || true
    eventually 10 has_ended "$pid" || kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$file"
}

# --------------------------------------------------------------------------------------------------------------- start

munge_answers() { munge -n | unmunge; }

start_munge() {
  munge_answers >/dev/null 2>&1 && return
  [ -s /etc/munge/munge.key ] || {
    mkdir -p /etc/munge
    dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
  }
  mkdir -p /run/munge /var/log/munge /var/lib/munge
  chown -R munge:munge /etc/munge /run/munge /var/log/munge /var/lib/munge
  chmod 400 /etc/munge/munge.key
  chmod 755 /run/munge
  # --force: a socket may be left from a munged that was killed
  su -s /bin/sh munge -c "$(command -v munged) --force" || die "munged does not start"
  eventually 10 munge_answers || die "munge does not answer"
  cp /run/munge/munged.pid "$DIR/munged.pid" 2>/dev/null || true
}

database() { mariadb --no-defaults --socket="$DIR/database/socket" --user=root "$@"; }

start_accounting() {
  local data=$DIR/database/data
  mkdir -p "$data" "$DIR/accounting"
  chown -R mysql:mysql "$DIR/database"
  mariadb-install-db --no-defaults --user=mysql --datadir="$data" --skip-test-db \
    --auth-root-authentication-method=normal >"$DIR/database/install.log" 2>&1 || die "MariaDB cannot make its files"
  setsid mariadbd --no-defaults --user=mysql --datadir="$data" --socket="$DIR/database/socket" \
    --bind-address=127.0.0.1 --port="$DATABASE_PORT" --pid-file="$DIR/database/mariadbd.pid" \
    --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=0 \
    </dev/null >"$DIR/database/log" 2>&1 &
  eventually 30 database -e "select 1" || die "MariaDB does not start"
  database -e "create user slurm@'%' identified by 'slurm'; create user slurm@localhost identified by 'slurm';
               grant all on slurm_acct_db.* to slurm@'%'; grant all on slurm_acct_db.* to slurm@localhost"
  slurmdbd || die "slurmdbd does not start"
  eventually 30 sacctmgr -n list cluster || die "slurmdbd does not answer"
  sacctmgr -iQ add cluster "$NAME" >/dev/null 2>&1 || true
}

start_node() {
  mkdir -p "$DIR/nodes/$1/spool"
  slurmd -N "$1" || die "slurmd of $1 does not start; see $DIR/nodes/$1/slurmd.log"
}

all_idle() { [ "$(sinfo --noheader --partition=main --states=idle --format=%D)" = "$1" ]; }

show_logs() {
  local log
  for log in "$DIR"/controller/*.log "$DIR"/accounting/*.log "$DIR"/nodes/*/slurmd.log; do
    [ -f "$log" ] && { echo "--- $log"; tail -n 15 "$log"; } >&2
  done
  return 0
}

start() {
  local nodes=4 accounting=yes user_signal=yes
  for word in "$@"; do
    case $word in
      --no-accounting) accounting=no ;;
      --no-user-signal) user_signal=no ;;
      *[!0-9]* | "") die "start: not a number of nodes: $word" ;;
      *) nodes=$word ;;
    esac
  done
  have_everything || die "SLURM is not installed; run: $0 install"
  # A controller that listens and does not work in our folder is somebody else's.
  listens "$CONTROLLER_PORT" && [ -z "$(working_below "$DIR/controller")" ] &&
    die "another SLURM is running on this machine; stop that one first"
  stop
  rm -rf "$DIR"
  mkdir -p "$DIR/controller/state" "$DIR/nodes"
  chmod 755 "$DIR"
  write_config "$nodes" "$accounting" "$user_signal"
  start_munge
  [ "$accounting" = no ] || start_accounting
  slurmctld || die "slurmctld does not start"
  for ((i = 1; i <= nodes; i++)); do start_node "n$i"; done
  if ! eventually 60 all_idle "$nodes"; then
    show_logs
    die "the nodes are not idle after a minute"
  fi
  say "$nodes nodes are idle; accounting: $accounting; state in $DIR"
}

status() {
  grep -qF "$MARK" "$ETC/slurm.conf" 2>/dev/null || die "not started by this script"
  timeout 10 scontrol ping 2>/dev/null | grep -q "is UP" || die "the controller does not answer"
  local lost
  lost=$(sinfo --noheader --partition=main --states=down,drain,unknown,no_respond --format=%N)
  [ -z "$lost" ] || die "nodes not up: $lost"
  sinfo
}

wait_idle() {
  local nodes
  nodes=$(sinfo --noheader --partition=main --format=%D | awk '{ n += $1 } END { print n }')
  eventually 60 nothing_runs "$nodes" || { squeue >&2; sinfo >&2; die "still busy after a minute"; }
}

nothing_runs() { [ -z "$(squeue --noheader)" ] && all_idle "$1"; }

stop() {
  destroy processes_of_nodes
  local file
  for file in "$DIR"/controller/slurmctld.pid "$DIR"/accounting/slurmdbd.pid "$DIR"/database/mariadbd.pid; do
    end_daemon "$file"
  done
  destroy other_processes
  if [ -f "$DIR/munged.pid" ]; then
    local munged
    munged=$(cat "$DIR/munged.pid")
    [ "$(cat "/proc/$munged/comm" 2>/dev/null)" = munged ] && kill "$munged" 2>/dev/null
    rm -f "$DIR/munged.pid"
  fi
  return 0
}

# ---------------------------------------------------------------------------------------------------------- accidents

is_node() { [[ -n ${1:-} && -d $DIR/nodes/$1 ]] || die "no node '${1:-}' in $DIR"; }

kill_node() { is_node "${1:-}"; destroy processes_of_node "$1"; say "$1 is dead"; }

revive_node() {
  is_node "${1:-}"
  destroy processes_of_node "$1"
  rm -f "$DIR/nodes/$1/slurmd.pid"
  start_node "$1"
  # 22.05 may leave a node that rebooted within SlurmdTimeout as it was; it is usable when it answers.
  eventually 60 node_answers "$1" || die "$1 does not come back; see $DIR/nodes/$1/slurmd.log"
  say "$1 is back"
}

slurmd_of_node() {
  local pid
  for pid in $(working_below "$DIR/nodes/$1"); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = slurmd ] && echo "$pid"
  done
  return 0
}

kill_slurmd() { is_node "${1:-}"; destroy slurmd_of_node "$1"; say "slurmd of $1 is dead, its jobs are not"; }

revive_slurmd() {
  is_node "${1:-}"
  rm -f "$DIR/nodes/$1/slurmd.pid"
  start_node "$1"
  eventually 60 node_answers "$1" || die "$1 does not come back; see $DIR/nodes/$1/slurmd.log"
  say "slurmd of $1 is back"
}

user_signal() {
  case ${1:-} in
    on) sed -i 's/^#*SlurmctldParameters=/SlurmctldParameters=/' "$ETC/slurm.conf" ;;
    off) sed -i 's/^#*SlurmctldParameters=/#SlurmctldParameters=/' "$ETC/slurm.conf" ;;
    *) die "user-signal: on or off" ;;
  esac
  scontrol reconfigure
  say "the user's signal before a preemption: $1"
}

node_answers() {
  scontrol ping | grep -q "is UP" || return 1
  [[ $(sinfo --noheader --nodes="$1" --partition=main --format=%T) =~ ^(idle|mixed|allocated|completing)$ ]]
}

kill_controller() { destroy working_below "$DIR/controller"; say "the controller is dead"; }

revive_controller() {
  rm -f "$DIR/controller/slurmctld.pid"
  slurmctld || die "slurmctld does not start"
  eventually 30 squeue || die "slurmctld does not answer; see $DIR/controller/slurmctld.log"
  say "the controller is back"
}

# ----------------------------------------------------------------------------------------------------------------------

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0"; }

case ${1:-} in
  install | start | stop | kill-node | revive-node | kill-slurmd | revive-slurmd | user-signal | \
    kill-controller | revive-controller)
    [ "$(id -u)" = 0 ] || die "must run as root"
    # One at a time on this machine (test workers may race); --close keeps the lock out of the daemons.
    if [ -z "${PYTAU_TEST_CLUSTER_LOCKED:-}" ] && command -v flock >/dev/null; then
      export PYTAU_TEST_CLUSTER_LOCKED=1
      exec flock --close /tmp/pytau-hpc-test-cluster.lock "$0" "$@"
    fi
    ;;
esac
command=${1:-}
shift || true
case $command in
  install) install_packages ;;
  start) start "$@" ;;
  status) status ;;
  wait-idle) wait_idle ;;
  stop) stop ;;
  kill-node) kill_node "$@" ;;
  revive-node) revive_node "$@" ;;
  kill-slurmd) kill_slurmd "$@" ;;
  revive-slurmd) revive_slurmd "$@" ;;
  user-signal) user_signal "$@" ;;
  kill-controller) kill_controller ;;
  revive-controller) revive_controller ;;
  -h | --help | help) usage ;;
  *) usage >&2; exit 2 ;;
esac
