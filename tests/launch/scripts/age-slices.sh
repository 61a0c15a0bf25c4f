# ======== slices.sh
#!/bin/bash
# 8B: 8 slices, one node with 8 cores, a Grid Engine cluster
#
# Written by jpfm; copies are yours to change. The line that wrote it, in /shared/me:
#   jpfm submit configs/train/8B.yaml ...
# Handed in with:
#   qsub -terse /shared/me/runs/8B.jobs/slices.sh
#
#$ -S /bin/bash
#$ -N jpfm-8B
#$ -l h_rt=24:00:00
#$ -pe smp 8
#$ -l gpu=0
#$ -t 1-8
#$ -r y
#$ -cwd
#$ -j y
#$ -notify
#$ -o /shared/me/runs/8B.jobs/logs/$JOB_NAME-$JOB_ID.$TASK_ID.log
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
job=$JOB_ID
task=$((SGE_TASK_ID - 1)) # AGE counts from 1
log=/shared/me/runs/8B.jobs/logs/$JOB_NAME-$job.$SGE_TASK_ID.log
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
# -notify warns of qdel (SIGUSR2), but at the time limit itself, and a soft limit (-l s_rt) kills jobs that have tasks on
# other hosts: the launcher watches the clock
until=$(($(date +%s) - SECONDS + 86100))
begun=$("${here[@]}" -m jpfm.launch.attempt begin "$jobs" --job "$job" --log "$log" --nodes "${hosts[*]}" --task "$task") || {
  code=$?
  [ $code -eq 100 ] && exit 0 # finished already, or stopped by `jpfm submit stop`
  exit $code # it failed too often at the same place
}
export JPFM_ENDS=$jobs/ends/$begun # each process writes there how it ended

start() { # exec: a signal to the background process below reaches the command itself
  exec "${here[@]}" -m jpfm.launch.node --alone --jobs "$jobs" ${until:+--until "$until"} -- \
    data build /shared/me/runs/8B.jobs/config.yaml --out /shared/me/runs/8B --workers 8 --slice "$task/8"
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
  exit 99 # AGE starts a job with this code again, under the same id
fi
exit $next

# ======== finish.sh
#!/bin/bash
# 8B: finish, one node with 8 cores, a Grid Engine cluster
#
# Written by jpfm; copies are yours to change. The line that wrote it, in /shared/me:
#   jpfm submit configs/train/8B.yaml ...
# Handed in with:
#   qsub -terse -hold_jid ID /shared/me/runs/8B.jobs/finish.sh
#
#$ -S /bin/bash
#$ -N jpfm-8B-finish
#$ -l h_rt=24:00:00
#$ -pe smp 8
#$ -l gpu=0
#$ -r y
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
ulimit -n "$(ulimit -Hn)" # files and sockets: each data shard and each connection to another process is one
ulimit -c 0 # no core dumps: one of a rank is as large as its memory
job=$JOB_ID
log=/shared/me/runs/8B.jobs/logs/$JOB_NAME-$job.log
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
# -notify warns of qdel (SIGUSR2), but at the time limit itself, and a soft limit (-l s_rt) kills jobs that have tasks on
# other hosts: the launcher watches the clock
until=$(($(date +%s) - SECONDS + 86100))
begun=$("${here[@]}" -m jpfm.launch.attempt begin "$jobs" --job "$job" --log "$log" --nodes "${hosts[*]}") || {
  code=$?
  [ $code -eq 100 ] && exit 0 # finished already, or stopped by `jpfm submit stop`
  exit $code # it failed too often at the same place
}
export JPFM_ENDS=$jobs/ends/$begun # each process writes there how it ended

start() { # exec: a signal to the background process below reaches the command itself
  exec "${here[@]}" -m jpfm.launch.node --alone --jobs "$jobs" ${until:+--until "$until"} -- \
    data build /shared/me/runs/8B.jobs/config.yaml --out /shared/me/runs/8B --workers 8 --finish
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
  exit 99 # AGE starts a job with this code again, under the same id
fi
exit $next
