"""Profiles as text: the commented file that ``profile init`` makes, and the table of ``profile list``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from pytau_hpc.doctor.partition import preemption_words
from pytau_hpc.errors import Invalid, PytauHpcError
from pytau_hpc.executors.cluster import Partition
from pytau_hpc.executors.profile import Found, Profile
from pytau_hpc.profile_draft import Draft
from pytau_hpc.reports.format import columns, cut, plural, tsv
from pytau_hpc.sweep.resources import format_time

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z", re.ASCII)
_WORDS_OF_YAML = frozenset(["null", "true", "false", "yes", "no", "on", "off", "y", "n"])

#: Where comments begin, beside values that are shorter than that.
_COMMENT = 34


def as_yaml(draft: Draft, *, name: str, made: str) -> str:
    """The file of a profile; every value with what the cluster said about it.

    Parameters
    ----------
    made : the day, as it is to be shown
    """
    cluster, partition = draft.cluster, draft.partition
    limit = cluster.number("MaxArraySize")
    return "".join(
        [
            f"# Made on {made} by  pytau-hpc profile init  from what {_plain(cluster.name)} (SLURM "
            f"{_plain(cluster.version)}) says.\n",
            f"# Check it with  pytau-hpc doctor --profile {name}\n",
            f"description: {_value(f'{cluster.name}, partition {partition.name}')}\n",
            "\nexecutor: slurm\n",
            "\nslurm:\n",
            _line("partition", partition.name, _about(partition)),
            *_other_partitions(draft),
            _line("account", draft.account, _accounts(draft)),
            _line("qos", None, _qos(draft)),
            _line("extra", [], 'more options of sbatch, such as "--exclude=node017"'),
            "\ndefaults:                         # for specs that do not say\n",
            _line("cpus", draft.defaults.cpus),
            _line("mem_gb", draft.defaults.mem_gb),
            _line("time", draft.defaults.time, "hours:minutes:seconds"),
            _line("points_per_task", "auto", "fits that one task does one after another"),
            "\nlimits:\n",
            _line("max_running_tasks", 50, "at once"),
            *_submitted(draft),
            _line("max_array_size", None, f"asked from the controller, which says {limit or '?'}"),
            *_caps(draft),
            "\nprologue: []                      # shell lines before a task, such as  module load miniconda\n",
            "env: {}\n",
            _comment(f"scratch: {draft.scratch}", "a folder of the node itself, for compiled code"),
            f"\n# {_preemption(draft)}\n",
        ]
    )


def _line(key: str, value: Any, comment: str = "") -> str:
    return _comment(f"  {key}: {_value(value)}", comment)


def _comment(text: str, comment: str) -> str:
    if not comment:
        return f"{text}\n"
    return f"{text:<{_COMMENT - 1}} # {cut(_plain(comment), 120)}\n"


def _value(value: Any) -> str:
    """A value in YAML; text in quotes wherever it could be taken for something else."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    """Text for a comment: of one line, whatever the cluster has in its names."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _about(partition: Partition) -> str:
    limit = (
        "no time limit" if partition.max_time_min is None else format_time(partition.max_time_min)
    )
    default = ", the default" if partition.default else ""
    down = "" if partition.up else f", {partition.state} now"
    return f"{plural(partition.nodes, 'node')}, {limit}{default}{down}"


def _other_partitions(draft: Draft) -> list[str]:
    """A line of comment for each other partition."""
    others = [one for one in draft.cluster.partitions if one.name != draft.partition.name]
    lines = [f"{one.name}: {_about(one)}{_preempted(draft, one)}" for one in others[:8]]
    if len(others) > 8:
        lines.append(f"and {len(others) - 8} more: sinfo")
    return [f"  #   {cut(_plain(line), 110)}\n" for line in lines]


def _preempted(draft: Draft, partition: Partition) -> str:
    return ", preempted" if preemption_words(draft.cluster, partition) else ""


def _accounts(draft: Draft) -> str:
    known = draft.cluster.accounts
    if known is None:
        return "accounting does not answer; null is your default account"
    yours = ", ".join(draft.cluster.accounts_for(draft.partition)) or "none here"
    default = f"; null is your default, {known.default}" if known.default else ""
    return f"yours: {yours}{default}"


def _qos(draft: Draft) -> str:
    known = draft.cluster.accounts
    names = sorted({name for one in known.associations for name in one.qos}) if known else []
    return f"null is the default; yours: {', '.join(names)}" if names else "null is the default"


def _submitted(draft: Draft) -> list[str]:
    if draft.max_submitted is None:
        return []
    return [
        _line("max_submitted_tasks", draft.max_submitted, "you may have submitted no more at once")
    ]


def _caps(draft: Draft) -> list[str]:
    """How far a retry may go: what the partition gives."""
    lines = []
    if draft.max_mem_gb is not None:
        lines.append(_line("mem_gb", draft.max_mem_gb, "the most that a job there can have"))
    if draft.max_time_min is not None:
        lines.append(_line("time", format_time(draft.max_time_min), "the partition's limit"))
    return lines


def _preemption(draft: Draft) -> str:
    words = preemption_words(draft.cluster, draft.partition)
    says = words or f"jobs of partition {draft.partition.name} are not preempted"
    return _plain(f"{says[0].upper()}{says[1:]}.")


# -- lists ------------------------------------------------------------------------------------------------------------

_HEADER = ("name", "executor", "where", "description")


def list_lines(
    listed: Sequence[tuple[Found, Profile | PytauHpcError]], *, width: int | None
) -> str:
    """A table of profiles; tab-separated and whole where no width is given."""
    rows = [_row(found, profile) for found, profile in listed]
    if width is None:
        return tsv(_HEADER, rows)
    return "\n".join(columns(_HEADER, rows, elastic=3, width=width))


def _row(found: Found, profile: Profile | PytauHpcError) -> tuple[str, str, str, str]:
    if isinstance(profile, PytauHpcError):
        return found.name, "-", found.where, f"✗ {_wrong(profile)}"
    return found.name, profile.executor, found.where, profile.description


def _wrong(error: PytauHpcError) -> str:
    if isinstance(error, Invalid):
        return f"{plural(len(error.problems), 'problem')}: {error.problems[0].message}"
    return error.message


def list_json(listed: Sequence[tuple[Found, Profile | PytauHpcError]]) -> dict[str, Any]:
    return {
        "schema": "pytau-hpc/profiles/1",
        "profiles": [
            {
                "name": found.name,
                "path": None if found.path is None else str(found.path),
                "where": found.where,
                "profile": None if isinstance(profile, PytauHpcError) else as_json(profile),
                "error": _wrong(profile) if isinstance(profile, PytauHpcError) else None,
            }
            for found, profile in listed
        ],
    }


def as_json(profile: Profile) -> dict[str, Any]:
    return {"description": profile.description, **profile.to_json()}


def document(profile: Profile) -> dict[str, Any]:
    """One profile: its file, and what it says."""
    return {
        "schema": "pytau-hpc/profile/1",
        "path": None if profile.path is None else str(profile.path),
        "profile": as_json(profile),
    }
