#!/usr/bin/env bash
# Run one task of a sweep by itself, with a compile folder that no other process uses. To copy and change.
#
#   bash jobs/single_process.sh SWEEP SUBMISSION TASK
#
# in the study folder, for instance the first twelve tasks of a submission, four at once:
#
#   parallel -j 4 bash jobs/single_process.sh sweeps/gc_states 3f2a9c41d07b {} ::: {0..11}
#
# SUBMISSION is a folder in sweeps/gc_states/submissions/, TASK a number from 0. Every task of pytau_hpc keeps its
# compiled code apart anyhow; this script is for what else a task of yours needs before it and after it.
set -uo pipefail

if [ $# != 3 ]; then
  echo "usage: bash $0 SWEEP SUBMISSION TASK" >&2
  exit 2
fi

# One thread for whatever is started here. The fit itself gets as many as the task has `cpus`.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1

# PyTensor's and JAX's compiled code goes below this folder, which is removed however the task ends.
PYTAU_HPC_SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/single_process.XXXXXXXX") || exit 1
export PYTAU_HPC_SCRATCH
trap 'rm -rf "$PYTAU_HPC_SCRATCH"' EXIT

# Your own lines, for instance:  module load miniconda; source activate pytau_hpc

# A signal to this script is one to the worker, which stops at its next checkpoint; so wait again after it.
"${PYTHON:-python}" -m pytau_hpc worker "$1" "$2" "$3" &
worker=$!
trap 'kill -TERM "$worker" 2>/dev/null' HUP INT TERM USR1 USR2
wait "$worker"
status=$?
while kill -0 "$worker" 2>/dev/null; do
  wait "$worker"
  status=$?
done
exit "$status"
