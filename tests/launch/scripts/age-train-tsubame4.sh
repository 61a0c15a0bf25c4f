# ======== job.sh
#!/bin/bash
# 8B: train, 2 nodes with 4 GPUs and 192 cores each, TSUBAME4.0
#
# Written by jpfm; copies are yours to change. The line that wrote it, in /shared/me:
#   jpfm submit configs/train/8B.yaml ...
# Handed in with:
#   qsub -terse -g tga-lab /shared/me/runs/8B.jobs/job.sh
#
#$ -S /bin/bash
#$ -N jpfm-8B
#$ -l h_rt=24:00:00
#$ -l node_f=2
#$ -r n
#$ -cwd
#$ -j y
#$ -notify
#$ -o /shared/me/runs/8B.jobs/logs/$JOB_NAME-$JOB_ID.log
set -euo pipefail

told='' started='' cancelled=''
tell() { # time is nearly over, preempted or cancelled: save and end
  told=yes
  [ -z "$started" ] || kill -USR1 "$started" 2>/dev/null || :
}
# From the first line on: a signal that nobody awaits would end this script. It comes from qdel, or from the scheduler
# that begins the job again by itself; the time limit is watched below.
trap 'cancelled=yes; tell' USR1 USR2 TERM

jobs=/shared/me/runs/8B.jobs # this script, its settings, its logs, and what became of each start
cd /shared/me

# --- On each node ------------------------------------------------------------------------------------------------------
set +u # what sites write there is not always strict
type module >/dev/null 2>&1 || . /etc/profile.d/modules.sh # a login shell has it
module load cuda/12.8.0
set -u
ulimit -n "$(ulimit -Hn)" # files and sockets: each data shard and each connection to another process is one
ulimit -l unlimited 2>/dev/null || echo "note: memory for RDMA is limited to $(ulimit -l) KiB on $(hostname)" >&2
ulimit -c 0 # no core dumps: one of a rank is as large as its memory
job=$JOB_ID
log=/shared/me/runs/8B.jobs/logs/$JOB_NAME-$job.log
export OMP_NUM_THREADS=48 # cores of a process
export PYTHONUNBUFFERED=1 # the log is as fresh as the run
# When a call of NCCL fails, the log says which one and why.
export NCCL_DEBUG="WARN"
# Blocks of GPU memory can grow, so tensors of changing sizes leave fewer gaps that nothing fits into.
export PYTORCH_ALLOC_CONF="expandable_segments:True"
container=$(command -v apptainer || command -v singularity)
python=("$container" exec --nv --bind /shared/me /shared/jpfm.sif python3)
here=("${python[@]}")
if [ "${1:-}" = node ]; then # the first node starts this script on each of them with these words
  head=$2 port=$3 until=$5
  cache=$(mktemp -d "${T4TMPDIR:-${TMPDIR:-$TMP}}/jpfm-$job.XXXXXX") # on the node's own disk; the launcher removes it at the end
  export TORCHINDUCTOR_CACHE_DIR=$cache/inductor TRITON_CACHE_DIR=$cache/triton # written by all processes at once
  export JPFM_ENDS=$4
  export TORCH_FR_DUMP_TEMP_FILE=$JPFM_ENDS/nccl_trace_rank_ # the last collectives of each rank, when one hangs
  rank=$6
  export JPFM_NODE=$7
  exec "${python[@]}" -m jpfm.launch.node --rank "$rank" --nodes 2 --processes 4 \
    --head "$head" --port "$port" --jobs "$jobs" --cache "$cache" ${until:+--until "$until"} ${told:+--told} -- \
    train /shared/me/runs/8B.jobs/config.yaml --out /shared/me/runs/8B
fi

# --- Once, on the first node -------------------------------------------------------------------------------------------
if [ -n "${PE_HOSTFILE:-}" ]; then
  mapfile -t hosts < <(awk '!seen[$1]++ { print $1 }' "$PE_HOSTFILE")
else
  hosts=("$(hostname)") # of a job on one node there is no such file
fi
head=${hosts[0]}
port=$((20000 + job % 10000)) # another one for each job
if [ ${#hosts[@]} -lt 2 ]; then
  echo "error: the scheduler gave ${#hosts[@]} hosts (${hosts[*]}) and not 2: look at how the site file asks for nodes" >&2
  exit 5
fi
# -notify warns of qdel (SIGUSR2), but at the time limit itself, and a soft limit (-l s_rt) kills jobs that have tasks on
# other hosts: the launcher watches the clock
until=$(($(date +%s) - SECONDS + 86100))
begun=$("${here[@]}" -m jpfm.launch.attempt begin "$jobs" --job "$job" --log "$log" --nodes "${hosts[*]}") || {
  code=$?
  [ $code -eq 100 ] && exit 0 # finished already, or stopped by `jpfm submit stop`
  exit $code # it failed too often at the same place
}
export JPFM_ENDS=$jobs/ends/$begun # each process writes there how it ended
others=()
for ((n = 1; n < 2; n++)); do # the first node is this one
  command=(/bin/bash "$jobs/job.sh" node "$head" "$port" "$JPFM_ENDS" "$until" "$n" "${hosts[n]}")
  qrsh -inherit -nostdin -noshell -V "${hosts[n]}" "${command[@]}" </dev/null &
  others+=($!)
done

start() { # exec: a signal to the background process below reaches the command itself
  exec bash "$jobs/job.sh" node "$head" "$port" "$JPFM_ENDS" "$until" 0 "${hosts[0]}"
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
for ((n = 0; n < 60; n++)); do # when one node has ended the others have a minute to
  kill -0 "${others[@]}" 2>/dev/null || break
  sleep 1
done
trap '' USR1 USR2 TERM # what is left takes a second

next=0
"${here[@]}" -m jpfm.launch.attempt end "$jobs" --job "$job" --start "$begun" --code "$code" --log "$log" || next=$?
if [ $next -eq 75 ] && [ -z "$cancelled" ]; then
  echo "the next job of the chain goes on, if there is one" >&2
fi
exit $next
