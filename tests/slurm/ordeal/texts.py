"""The spec of an ordeal's sweep, and the programs that stand before SLURM's own on its PATH."""

from __future__ import annotations

SPEC = """\
name: toy
data: {{format: synthetic, sessions: 1, tastes: 2, trials: 6, neurons: 3, n_states: 3, seed: 1}}
grid:
  taste: [0, 1]
  window_ms: [[0, 2000]]
  bin_ms: [100]
  model: [single_taste_poisson]
  n_states: {n_states}
  repeat: {repeat}
fit: {{method: toy, iterations: {iterations}, sleep_s: {sleep_s}, checkpoint_s: {checkpoint_s}{fit}}}
resources: {{mem_gb: {mem_gb}, time: "{time}", points_per_task: {points_per_task}}}
retry: {{grace_s: {grace_s}}}
"""

SHIM = """\
#!/bin/bash
echo "$(date +%s.%N) {name}" >> {log}
exec {real} "$@"
"""
SBATCH = """\
#!/bin/bash
echo "$(date +%s.%N) sbatch" >> {log}
said=$({real} "$@" 2> {folder}/sbatch.err.$$); rc=$?
name=$(grep -hoP '^#SBATCH --job-name=\\K.*' "${{@: -1}}")
elements=$(grep -hoP '^#SBATCH --array=\\K[^%]*' "${{@: -1}}")
echo "$rc $name $elements $said $(tr '\\n' ' ' < {folder}/sbatch.err.$$)" >> {folder}/sbatch.said
cat {folder}/sbatch.err.$$ >&2
{after}
[ -z "$said" ] || echo "$said"
exit $rc
"""
