"""What a sweep has used of what it asked for: CPU-hours, memory, time. Asked by `status`; no pandas.

By run, since that is what a scheduler gives memory and CPUs to: a run that imports for a minute has held its CPUs for
that minute, too. What single fits used is in `measured`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytau_hpc.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Used:
    """What was used of what was asked for; fractions are None where nothing is known.

    cpu_s, elapsed_s : CPU and wall seconds of fits, finished or not
    held_cpu_s : CPUs × seconds that runs have held so far: what a cluster's accounting counts
    left_cpu_s : how much more may be held by what was sent, if all of it needs all of its time; None where nothing was
        sent that has a time limit
    mem_fraction : peak memory of a run over what it asked for, the mean over runs that have finished a fit, or are over
    cpu_fraction : CPU seconds of runs (of their fits, while they last) over the CPU seconds held for that
    time_fraction : wall seconds of runs that have ended over their time limits, where there are any
    """

    cpu_s: float
    elapsed_s: float
    held_cpu_s: float
    left_cpu_s: float | None
    mem_fraction: float | None
    cpu_fraction: float | None
    time_fraction: float | None


#: Only these have a time limit that somebody enforces.
_LIMITED = "s.executor = 'slurm'"

_USED = f"""
WITH fits AS (
  SELECT submission, task, run, sum(cpu_s) AS cpu_s, sum(elapsed_s) AS elapsed_s, max(max_rss_bytes) AS max_rss_bytes
  FROM attempt WHERE outcome IS NULL OR outcome != 'skipped' GROUP BY submission, task, run
), runs AS (
  SELECT r.ended IS NOT NULL AS ended, t.cpus, t.mem_bytes,
    r.ended IS NOT NULL OR r.gone IS NOT NULL OR f.elapsed_s > 0 AS told,
    CASE WHEN {_LIMITED} THEN t.time_limit_s END AS limit_s, f.cpu_s, f.elapsed_s,
    coalesce(r.used_max_rss_bytes, f.max_rss_bytes) AS peak,
    max(0, coalesce(r.used_elapsed_s,
      coalesce(r.ended_at, CASE WHEN r.gone IS NULL THEN :now ELSE r.last_seen_at END) - r.started_at)) AS run_s,
    coalesce(r.used_cpu_s, f.cpu_s) AS used_cpu_s,
    CASE WHEN r.used_cpu_s IS NULL THEN f.elapsed_s ELSE r.used_elapsed_s END AS used_s
  FROM run r JOIN task t USING (submission, task) JOIN submission s ON s.uuid = r.submission
  LEFT JOIN fits f USING (submission, task, run)
)
SELECT coalesce(sum(cpu_s), 0) AS cpu_s, coalesce(sum(elapsed_s), 0) AS elapsed_s,
  coalesce(sum(run_s * cpus), 0) AS held_cpu_s,
  avg(CASE WHEN told AND mem_bytes > 0 THEN 1.0 * peak / mem_bytes END) AS mem_fraction,
  sum(CASE WHEN used_s > 0 THEN used_cpu_s END)
    / sum(CASE WHEN used_cpu_s IS NOT NULL THEN used_s * cpus END) AS cpu_fraction,
  sum(CASE WHEN ended AND limit_s > 0 THEN run_s END) / sum(CASE WHEN ended THEN limit_s END) AS time_fraction
FROM runs
"""

_LEFT = f"""
SELECT sum(max(0, t.time_limit_s - CASE WHEN r.run IS NULL THEN 0 ELSE :now - r.started_at END) * t.cpus)
FROM submission s JOIN task t ON t.submission = s.uuid
LEFT JOIN run r ON r.submission = t.submission AND r.task = t.task
  AND r.run = (SELECT max(run) FROM run x WHERE x.submission = t.submission AND x.task = t.task)
WHERE s.open = 1 AND s.refused = 0 AND {_LIMITED} AND t.gone IS NULL AND t.given_back = 0
  AND r.ended IS NULL AND r.gone IS NULL
"""


def used_so_far(ledger: Ledger, now: float) -> Used:
    """See `Used`. A run that did not say what it used is known by its fits."""
    row = ledger.connection.execute(_USED, {"now": now}).fetchone()
    left = ledger.connection.execute(_LEFT, {"now": now}).fetchone()[0]
    return Used(**dict(row), left_cpu_s=left)
