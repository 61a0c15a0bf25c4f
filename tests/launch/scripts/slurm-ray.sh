# ======== job.sh
#!/bin/bash
# 8B: build with Ray, 4 nodes with 64 cores each, a Slurm cluster
#
# Written by jpfm; copies are yours to change. The line that wrote it, in /shared/me:
#   jpfm submit configs/train/8B.yaml ...
# Handed in with:
#   sbatch --parsable /shared/me/runs/8B.jobs/job.sh
#
#SBATCH --job-name=jpfm-8B
#SBATCH --output=/shared/me/runs/8B.jobs/logs/%x-%j.log
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
# Tell this script (B:) so many seconds before the time limit; Slurm may be up to a minute early.
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
set -euo pipefail

told='' started='' cancelled=''
tell() { # time is nearly over, preempted or cancelled: save and end
  told=yes
  [ -z "$started" ] || kill -USR1 "$started" 2>/dev/null || :
}
trap tell USR1 USR2 TERM # from the first line on: a signal that nobody awaits would end this script

jobs=/shared/me/runs/8B.jobs # this script, its settings, its logs, and what became of each start
cd /shared/me

# --- On each node ------------------------------------------------------------------------------------------------------
ulimit -n "$(ulimit -Hn)" # files and sockets: each data shard and each connection to another process is one
ulimit -c 0 # no core dumps: one of a rank is as large as its memory
job=$SLURM_JOB_ID
log=/shared/me/runs/8B.jobs/logs/$SLURM_JOB_NAME-$job.log
export OMP_NUM_THREADS=1 # cores of a process
export PYTHONUNBUFFERED=1 # the log is as fresh as the run
# When a call of NCCL fails, the log says which one and why.
export NCCL_DEBUG="WARN"
# Blocks of GPU memory can grow, so tensors of changing sizes leave fewer gaps that nothing fits into.
export PYTORCH_ALLOC_CONF="expandable_segments:True"
python=(/shared/venv/bin/python)
here=("${python[@]}")
if [ "${1:-}" = node ]; then # the first node starts this script on each of them with these words
  head=$2 port=$3 until=$5
  cache=$(mktemp -d "/tmp/jpfm-$job.XXXXXX") # on the node's own disk; the launcher removes it at the end
  export TORCHINDUCTOR_CACHE_DIR=$cache/inductor TRITON_CACHE_DIR=$cache/triton # written by all processes at once
  export JPFM_ENDS=$4
  rank=$SLURM_PROCID
  export JPFM_NODE=$SLURMD_NODENAME
  exec "${python[@]}" -m jpfm.launch.ray_node --rank "$rank" --nodes 4 --processes 64 \
    --head "$head" --port "$port" --jobs "$jobs" --cache "$cache" ${until:+--until "$until"} ${told:+--told} -- \
    data build /shared/me/runs/8B.jobs/config.yaml --out /shared/me/runs/8B
fi

# --- Once, on the first node -------------------------------------------------------------------------------------------
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# Where Slurm itself reaches the first node; its name may be known to Slurm alone, and SLURM_LAUNCH_NODE_IPADDR is the
# address of the host that srun runs on.
head=$(scontrol show node "${hosts[0]}" --oneliner | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
port=$((20000 + SLURM_JOB_ID % 10000)) # another one for each job
if [ ${#hosts[@]} -lt 4 ]; then
  echo "error: the scheduler gave ${#hosts[@]} hosts (${hosts[*]}) and not 4: look at how the site file asks for nodes" >&2
  exit 5
fi
until='' # Slurm sends a signal in time
begun=$("${here[@]}" -m jpfm.launch.attempt begin "$jobs" --job "$job" --log "$log" --nodes "${hosts[*]}") || {
  code=$?
  [ $code -eq 100 ] && exit 0 # finished already, or stopped by `jpfm submit stop`
  exit $code # it failed too often at the same place
}
export JPFM_ENDS=$jobs/ends/$begun # each process writes there how it ended

start() { # exec: a signal to the background process below reaches the command itself
  # --wait: when one node has ended the others have a minute to; --kill-on-bad-exit would cut off what they say
  exec srun --nodes=4 --ntasks=4 --ntasks-per-node=1 --cpus-per-task=64 --kill-on-bad-exit=0 --wait=60 \
    bash "$jobs/job.sh" node "$head" "$port" "$JPFM_ENDS" "$until"
}
code=75
if [ -z "$told" ]; then
  start </dev/null &
  started=$!
  [ -z "$told" ] || tell
  code=0
  wait "$started" || code=$?
fi
while [ -n "$started" ] && kill -0 "$started" 2>/dev/null; do # a trap ends `wait`, not the work
  code=0
  wait "$started" || code=$?
done
touch "$JPFM_ENDS/over" # launchers that are still there end in a minute
trap '' USR1 USR2 TERM # what is left takes a second

next=0
"${here[@]}" -m jpfm.launch.attempt end "$jobs" --job "$job" --start "$begun" --code "$code" --log "$log" || next=$?
if [ $next -eq 75 ] && [ -z "$cancelled" ]; then
  own=$job
  state=$(scontrol show job "$own" --oneliner | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p')
  # Where Slurm itself ended the job it also knows whether it begins again: a lost node yes, scancel no.
  [ "$state" != RUNNING ] || scontrol requeue "$own" # the same job id waits again
fi
exit $next
