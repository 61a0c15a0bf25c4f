# ======== slices.sh
#!/bin/bash
# 8B: 8 slices, one node with 64 cores, a PBS cluster
#
# Written by jpfm; copies are yours to change. The line that wrote it, in /shared/me:
#   jpfm submit configs/train/8B.yaml ...
# Handed in with:
#   qsub /shared/me/runs/8B.jobs/slices.sh
#
#PBS -N jpfm-8B
#PBS -l walltime=24:00:00
#PBS -q gpu
#PBS -l select=1:ncpus=64:mpiprocs=1
#PBS -l place=scatter
#PBS -J 0-7
#PBS -r y
#PBS -j oe
#PBS -o /shared/me/runs/8B.jobs/logs/
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
ulimit -n "$(ulimit -Hn)" # files and sockets: each data shard and each connection to another process is one
ulimit -c 0 # no core dumps: one of a rank is as large as its memory
job=${PBS_JOBID%%.*}
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)} USER=${USER:-$(id -un)} # pbsdsh gives neither
task=$PBS_ARRAY_INDEX
log=/shared/me/runs/8B.jobs/logs/jpfm-8B-${job%%[*}_$task.log
[ "${6:-0}" = 0 ] || log=${log%.log}.node$6.log
exec >>"$log" 2>&1 # PBS keeps its own log on the node until the job ends
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
# PBS gives no warning before the time limit: the launcher watches the clock
until=$(($(date +%s) - SECONDS + 86100))
begun=$("${here[@]}" -m jpfm.launch.attempt begin "$jobs" --job "$job" --log "$log" --nodes "${hosts[*]}" --task "$task") || {
  code=$?
  [ $code -eq 100 ] && exit 0 # finished already, or stopped by `jpfm submit stop`
  exit $code # it failed too often at the same place
}
export JPFM_ENDS=$jobs/ends/$begun # each process writes there how it ended

start() { # exec: a signal to the background process below reaches the command itself
  exec "${here[@]}" -m jpfm.launch.node --alone --jobs "$jobs" ${until:+--until "$until"} -- \
    tokens pack /shared/me/runs/8B.jobs/config.yaml --out /shared/me/runs/8B --workers 64 --slice "$task/8"
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
  echo "saved; submit the same line again to go on" >&2
fi
exit $next

# ======== finish.sh
#!/bin/bash
# 8B: finish, one node with 64 cores, a PBS cluster
#
# Written by jpfm; copies are yours to change. The line that wrote it, in /shared/me:
#   jpfm submit configs/train/8B.yaml ...
# Handed in with:
#   qsub -W depend=afterok:ID /shared/me/runs/8B.jobs/finish.sh
#
#PBS -N jpfm-8B-finish
#PBS -l walltime=24:00:00
#PBS -q gpu
#PBS -l select=1:ncpus=64:mpiprocs=1
#PBS -l place=scatter
#PBS -r n
#PBS -j oe
#PBS -o /shared/me/runs/8B.jobs/logs/
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
ulimit -n "$(ulimit -Hn)" # files and sockets: each data shard and each connection to another process is one
ulimit -c 0 # no core dumps: one of a rank is as large as its memory
job=${PBS_JOBID%%.*}
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)} USER=${USER:-$(id -un)} # pbsdsh gives neither
log=/shared/me/runs/8B.jobs/logs/jpfm-8B-finish-$job.log
[ "${6:-0}" = 0 ] || log=${log%.log}.node$6.log
exec >>"$log" 2>&1 # PBS keeps its own log on the node until the job ends
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
# PBS gives no warning before the time limit: the launcher watches the clock
until=$(($(date +%s) - SECONDS + 86100))
begun=$("${here[@]}" -m jpfm.launch.attempt begin "$jobs" --job "$job" --log "$log" --nodes "${hosts[*]}") || {
  code=$?
  [ $code -eq 100 ] && exit 0 # finished already, or stopped by `jpfm submit stop`
  exit $code # it failed too often at the same place
}
export JPFM_ENDS=$jobs/ends/$begun # each process writes there how it ended

start() { # exec: a signal to the background process below reaches the command itself
  exec "${here[@]}" -m jpfm.launch.node --alone --jobs "$jobs" ${until:+--until "$until"} -- \
    tokens pack /shared/me/runs/8B.jobs/config.yaml --out /shared/me/runs/8B --workers 64 --finish
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
  echo "saved; submit the same line again to go on" >&2
fi
exit $next
