"""``profile``: make, list and show profiles of clusters."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from pytau_hpc.cli.options import Json, shown, talk

group = typer.Typer(help="Make, list and show profiles of clusters.", no_args_is_help=True)


@group.command("init")
def init(
    name: Annotated[
        str | None, typer.Argument(help="How the profile is called; the cluster's name.")
    ] = None,
    partition: Annotated[
        str | None, typer.Option("--partition", help="The partition to use; the default one.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="The account to use; your default one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a profile of that name.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented profile to jobs/NAME.yaml, from what SLURM says about this cluster."""
    from pytau_hpc import profile_draft
    from pytau_hpc.reports import profile as report

    cluster = profile_draft.ask_cluster()
    name = name or profile_draft.default_profile_name(cluster)
    path = profile_draft.profile_path(name, Path.cwd(), force=force)
    draft = profile_draft.draft(cluster, partition=partition, account=account, environ=os.environ)
    text = report.as_yaml(draft, name=name, made=date.today().isoformat())
    profile_draft.publish(text, path, force=force)
    if as_json:
        from pytau_hpc.executors.profile import read_profile

        print(json.dumps(report.document(read_profile(path)), ensure_ascii=False))
        return
    print(shown(path))
    talk(f"Next: edit it (prologue, account), then  pytau-hpc doctor --profile {name}")


@group.command("list")
def list_(as_json: Json = False) -> None:
    """Show every profile that can be named here."""
    from pytau_hpc.profile_draft import every_profile
    from pytau_hpc.reports import profile as report

    listed = every_profile()
    if as_json:
        print(json.dumps(report.list_json(listed), ensure_ascii=False))
        return
    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else None
    print(report.list_lines(listed, width=width))


@group.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name or file of the profile.")],
    as_json: Json = False,
) -> None:
    """Show a profile, after checking it."""
    from pytau_hpc.executors.profile import BUILT_IN, find_profile
    from pytau_hpc.reports import profile as report

    profile = find_profile(name)
    if as_json:
        print(json.dumps(report.document(profile), ensure_ascii=False))
        return
    text = BUILT_IN[name] if profile.path is None else profile.path.read_text(encoding="utf-8")
    print(text.rstrip("\n"))
    talk(f"{'built in' if profile.path is None else shown(profile.path)}: valid")
