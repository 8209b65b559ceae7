"""Why a point is in its state, in sentences. Called by `reports.explain`."""

from __future__ import annotations

from collections.abc import Iterator

from pytau_hpc.explain import Explanation
from pytau_hpc.ledger.history import GIVEN_BACK, Entry
from pytau_hpc.reports.format import duration, gib, plural
from pytau_hpc.reports.logs import moment
from pytau_hpc.sweep.resources import format_time
from pytau_hpc.sweep.state import State

#: What a reason of SLURM means, by its beginning (man squeue, "JOB REASON CODES").
SLURM_REASONS = {
    "Priority": "other jobs come first",
    "Resources": "no node is free that has what it asks for",
    "JobArrayTaskLimit": "as many tasks of its array run as may at once",
    "Assoc": "a limit of your account",
    "QOS": "a limit of the quality of service",
    "Partition": "the partition is down, or does not allow what it asks for",
    "ReqNodeNotAvail": "the nodes that it could have are down or reserved",
    "Reservation": "it waits for a reservation",
    "BeginTime": "it was put back into the queue and may begin in a moment",
    "Dependency": "another job has to end first",
    "JobHeldUser": "held by a person; `scontrol release` lets it go",
    "JobHeldAdmin": "held by an administrator",
    "launch failed": "it could not be started on its node; `scontrol release` lets it try again",
    "Licenses": "no licence is free",
}


def meaning(reason: str) -> str | None:
    """What SLURM's ``PENDING (Priority)`` means; None where we do not know."""
    inner = reason.partition("(")[2].rstrip(")")
    return next((text for key, text in SLURM_REASONS.items() if inner.startswith(key)), None)


def because(found: Explanation) -> list[str]:
    """Why the point is in its state, one sentence each."""
    newest = found.newest
    match found.state:
        case State.QUEUED:
            return [*_why_queued(found), *_notes(found)]
        case State.RUNNING if newest is not None:
            return [*_why_running(found, newest), *_notes(found)]
        case State.SUCCEEDED:
            return _why_succeeded(found)
        case State.PLANNED:
            return [_why_planned(newest)]
        case State.CANCELLED:
            return ["`cancel` gave it up"]
    return _why_ended(found, newest) if newest is not None else []


def _notes(found: Explanation) -> list[str]:
    return [f"! {note}" for note in found.notes]


def _why_queued(found: Explanation) -> Iterator[str]:
    ahead, reason = found.ahead, found.seen.reason
    newest = found.newest
    if reason is not None and newest is not None and newest.executor == "slurm":
        gloss = meaning(reason)
        task = found.job or newest.task
        yield ": ".join(filter(None, [f"SLURM holds task {task}", reason, gloss]))
    elif reason is not None:
        yield reason
    if ahead is None:
        return
    if ahead.points:
        where = f"behind {plural(ahead.points, 'point')} of its task ({ahead.task})"
        if ahead.fitting is not None:
            one = ahead.fitting
            reached = f", {one['phase'] or 'starting'} {far(one['done'], one['total'])}".rstrip()
            where += f", which is now at {one['point_id'][:8]} {one['label']}{reached}"
        yield where
    elif reason is None and not ahead.begun:
        yield "its task has not begun"
    elif reason is None:
        yield "its task has begun and comes to it next"


def _why_running(found: Explanation, newest: Entry) -> list[str]:
    parts = [f"{newest.phase or 'starting'} {far(newest.done, newest.total)}".rstrip()]
    if newest.max_rss_bytes:
        parts.append(f"{gib(newest.max_rss_bytes)} of {gib(newest.mem_bytes)}")
    if newest.checkpoint:
        parts.append(f"checkpoint at {newest.checkpoint}")
    where = " on ".join(filter(None, [found.job, newest.host]))
    heard = ""
    if newest.heard_at is not None:
        heard = f", last heard of {duration(found.at - newest.heard_at)} ago"
    return [" · ".join(parts), f"{where}{heard}"]


def _why_succeeded(found: Explanation) -> list[str]:
    row = found.seen.row
    made = [entry for entry in found.seen.entries if entry.state == State.SUCCEEDED]
    by = "" if made else ", not made by this sweep"
    parts = [f"its result is there{by}: {row['result_path']}"]
    if row["elbo"] is not None:
        steps = f" in {row['iterations_run']} iterations" if row["iterations_run"] else ""
        converged = "converged" if row["converged"] else "not converged"
        parts.append(f"ELBO {row['elbo']:.1f} · {converged}{steps}")
    if row["rhat_max"] is not None:
        converged = "converged" if row["converged"] else "not converged"
        parts.append(
            f"R-hat {row['rhat_max']:.3f} · {row['ess_min']:.0f} effective draws · "
            f"{row['divergences']} divergences · {converged}"
        )
    return parts


def _why_planned(newest: Entry | None) -> str:
    if newest is None:
        return "it was never sent"
    if newest.state == State.SUCCEEDED:
        return "it succeeded, but its result is not there any more"
    if newest.state == GIVEN_BACK:
        return f"submission #{newest.sent} gave it back untouched"
    return f"submission #{newest.sent} did not fit it: {newest.message or newest.state}"


def _why_ended(found: Explanation, newest: Entry) -> list[str]:
    texts = []
    if found.state is State.LOST:
        texts.append(_why_lost(found, newest))
    if newest.error or newest.message:
        said = (newest.message or "").splitlines() or [""]
        error = newest.error if newest.error != said[0] else None
        texts += [": ".join(filter(None, [error, said[0]])), *said[1:6]]
        texts += [f"at {newest.frame}"] if newest.frame else []
    facts = []
    if newest.max_rss_bytes:
        facts.append(f"memory at its peak {gib(newest.max_rss_bytes)} of {gib(newest.mem_bytes)}")
    if newest.elapsed_s is not None:
        limit = format_time(round(newest.time_limit_s / 60))
        facts.append(f"ran for {duration(newest.elapsed_s)}, the task's limit is {limit}")
    if newest.checkpoint:
        facts.append(f"checkpoint at {newest.checkpoint}")
    return [*texts, *([" · ".join(facts)] if facts else [])]


def _why_lost(found: Explanation, newest: Entry) -> str:
    if newest.run is None and newest.task_run is not None:
        return f"run {newest.task_run} of its task ({newest.task}) died before it came to it"
    if newest.run is None:
        return f"its task ({newest.task}) was gone before it began"
    if newest.heard_at is None:
        return "its run ended without a word"
    return f"its run ended without a last word; last heard of {moment(newest.heard_at, found.at)}"


def far(done: int | None, total: int | None) -> str:
    """``760/2000``, as far as it is known."""
    if done is None or total == 0:
        return ""
    return f"{done}/{total}" if total else str(done)
