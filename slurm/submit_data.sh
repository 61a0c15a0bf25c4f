#!/bin/bash
# Submit a whole data build as Slurm jobs that wait for each other: slices, decision, slices, ..., finish.
#
#   slurm/submit_data.sh RECIPE OUT 8        # eight array tasks at each pass
#
# A recipe has one decision for each of its steps that need all shards (frequent_lines, exact_duplicates, ...). Between
# two of them the array runs again and applies what was decided. More rounds than decisions do no harm: they find
# nothing to do. After a failure the jobs that wait are removed; run the same line again, it goes on.
#
# Settings, as environment variables:
#   JPFM_DECISIONS  how many decisions the array shall apply, by default 0: then the job that finishes makes and applies
#                   them all on its one node, which is best below some 100 GB
#   SBATCH_OPTIONS  more for every sbatch, e.g. "--account=me --partition=cpu --cpus-per-task=16"
#   and those of slurm/data_array.sbatch
set -euo pipefail

if [ $# -lt 3 ]; then
  echo "usage: slurm/submit_data.sh RECIPE OUT NUMBER_OF_TASKS [OPTIONS OF jpfm data build]" >&2
  exit 2
fi
script=$(dirname "$0")/data_array.sbatch
recipe=$1
out=$2
tasks=$3
shift 3
read -r -a options <<<"${SBATCH_OPTIONS:-}"

last=
submit() { # what it is, options of sbatch -- options of jpfm
  local what=$1 wait=()
  shift
  [ -z "$last" ] || wait=(--dependency="afterok:$last" --kill-on-invalid-dep=yes)
  local before=()
  while [ "$1" != -- ]; do
    before+=("$1")
    shift
  done
  shift
  last=$(sbatch --parsable ${wait[@]+"${wait[@]}"} ${before[@]+"${before[@]}"} ${options[@]+"${options[@]}"} \
    "$script" "$recipe" "$out" "$@")
  last=${last%%;*} # of several clusters: JOB;CLUSTER
  echo "$last  $what" >&2
}

array=(--array="0-$((tasks - 1))" --output=%x-%A_%a.log)
submit "slices" "${array[@]}" -- "$@"
for ((round = 1; round <= ${JPFM_DECISIONS:-0}; round++)); do
  submit "decision $round" -- --decide "$@"
  submit "slices, with decision $round applied" "${array[@]}" -- "$@"
done
submit "finish" -- --finish "$@"
echo "$last" # the job to wait for
