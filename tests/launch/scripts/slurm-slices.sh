# ======== slices.sh
#!/bin/bash
# 8B: 8 slices, one node with 64 cores, a Slurm cluster
#
# Written by jpfm; copies are yours to change. The line that wrote it, in /shared/me:
#   jpfm submit configs/train/8B.yaml ...
# Handed in with:
#   sbatch --parsable /shared/me/runs/8B.jobs/slices.sh
#
#SBATCH --job-name=jpfm-8B
#SBATCH --output=/shared/me/runs/8B.jobs/logs/%x-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=64
#SBATCH --array=0-7
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
task=$SLURM_ARRAY_TASK_ID
log=/shared/me/runs/8B.jobs/logs/$SLURM_JOB_NAME-${SLURM_ARRAY_JOB_ID}_$task.log
export OMP_NUM_THREADS=1 # cores of a process
export PYTHONUNBUFFERED=1 # the log is as fresh as the run
# When a call of NCCL fails, the log says which one and why.
export NCCL_DEBUG="WARN"
# Blocks of GPU memory can grow, so tensors of changing sizes leave fewer gaps that nothing fits into.
export PYTORCH_ALLOC_CONF="expandable_segments:True"
python=(/shared/venv/bin/python)
here=("${python[@]}")

# --- Once, on the first node -------------------------------------------------------------------------------------------
hosts=("$(hostname)")
until='' # Slurm sends a signal in time
begun=$("${here[@]}" -m jpfm.launch.attempt begin "$jobs" --job "$job" --log "$log" --nodes "${hosts[*]}" --task "$task") || {
  code=$?
  [ $code -eq 100 ] && exit 0 # finished already, or stopped by `jpfm submit stop`
  exit $code # it failed too often at the same place
}
export JPFM_ENDS=$jobs/ends/$begun # each process writes there how it ended

start() { # exec: a signal to the background process below reaches the command itself
  exec "${here[@]}" -m jpfm.launch.node --alone --jobs "$jobs" ${until:+--until "$until"} -- \
    data build /shared/me/runs/8B.jobs/config.yaml --out /shared/me/runs/8B --workers 64 --slice "$task/8"
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
trap '' USR1 USR2 TERM # what is left takes a second

next=0
"${here[@]}" -m jpfm.launch.attempt end "$jobs" --job "$job" --start "$begun" --code "$code" --log "$log" --task "$task" || next=$?
if [ $next -eq 75 ] && [ -z "$cancelled" ]; then
  own=${SLURM_ARRAY_JOB_ID}_$task
  state=$(scontrol show job "$own" --oneliner | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p')
  # Where Slurm itself ended the job it also knows whether it begins again: a lost node yes, scancel no.
  [ "$state" != RUNNING ] || scontrol requeue "$own" # the same job id waits again
fi
exit $next

# ======== finish.sh
#!/bin/bash
# 8B: finish, one node with 64 cores, a Slurm cluster
#
# Written by jpfm; copies are yours to change. The line that wrote it, in /shared/me:
#   jpfm submit configs/train/8B.yaml ...
# Handed in with:
#   sbatch --parsable --dependency=afterok:ID --kill-on-invalid-dep=yes /shared/me/runs/8B.jobs/finish.sh
#
#SBATCH --job-name=jpfm-8B-finish
#SBATCH --output=/shared/me/runs/8B.jobs/logs/%x-%j.log
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
#SBATCH --nodes=1
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

# --- Once, on the first node -------------------------------------------------------------------------------------------
hosts=("$(hostname)")
until='' # Slurm sends a signal in time
begun=$("${here[@]}" -m jpfm.launch.attempt begin "$jobs" --job "$job" --log "$log" --nodes "${hosts[*]}") || {
  code=$?
  [ $code -eq 100 ] && exit 0 # finished already, or stopped by `jpfm submit stop`
  exit $code # it failed too often at the same place
}
export JPFM_ENDS=$jobs/ends/$begun # each process writes there how it ended

start() { # exec: a signal to the background process below reaches the command itself
  exec "${here[@]}" -m jpfm.launch.node --alone --jobs "$jobs" ${until:+--until "$until"} -- \
    data build /shared/me/runs/8B.jobs/config.yaml --out /shared/me/runs/8B --workers 64 --finish
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
