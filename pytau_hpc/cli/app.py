"""The typer application: which commands there are, and what happens to errors."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from pytau_hpc.cli.options import report_problem
from pytau_hpc.errors import Invalid, PytauHpcError

#: ``json`` makes JSON the default of every command that can.
OUTPUT_VARIABLE = "PYTAU_HPC_OUTPUT"
_WITH_JSON = frozenset(
    {"plan", "submit", "resume", "cancel", "status", "explain", "doctor", "profile"}
)

RUN, LOOK, SETUP = "Run a sweep", "Look", "Set up"

#: command → the panel of the help that it stands in; each has a module of that name here with a function `command`,
#: or, where it has commands of its own, a `group`.
COMMANDS = {
    "plan": RUN,
    "submit": RUN,
    "resume": RUN,
    "cancel": RUN,
    "status": LOOK,
    "logs": LOOK,
    "explain": LOOK,
    "export": LOOK,
    "doctor": SETUP,
    "profile": SETUP,
    "demo": SETUP,
    "worker": None,
}


def build(wanted: Sequence[str]) -> typer.Typer:
    """The application with the commands that are wanted: each is imported only when it is run or described."""
    app = typer.Typer(
        name="pytau-hpc",
        help="Plan, run and resume sweeps of Bayesian changepoint models, on SLURM or on this computer.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def _root(
        version: bool = typer.Option(False, "--version", help="Print the version and end."),
    ) -> None:
        if version:
            from pytau_hpc import __version__

            typer.echo(f"pytau_hpc {__version__}")
            raise typer.Exit

    for name in wanted:
        module = import_module(f"pytau_hpc.cli.{name}")
        panel = COMMANDS[name]
        if isinstance(group := getattr(module, "group", None), typer.Typer):
            app.add_typer(group, name=name, rich_help_panel=panel or "")
        else:
            app.command(name, rich_help_panel=panel, hidden=panel is None)(module.command)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    arguments = list(arguments)
    named = next((word for word in arguments if not word.startswith("-")), None)
    json_is_default = os.environ.get(OUTPUT_VARIABLE) == "json"
    if named in _WITH_JSON and json_is_default and "--json" not in arguments:
        arguments.append("--json")
    # ✓ and … where the terminal or the pipe cannot show them: a question mark, not a crash.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    wanted = [named] if named in COMMANDS else [] if "--version" in arguments else list(COMMANDS)
    app = build(wanted)
    try:
        result = app(args=arguments, standalone_mode=False, prog_name="pytau-hpc")
    except PytauHpcError as error:
        _show(error, as_json="--json" in arguments)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # typer's own errors about the command line know how to show themselves; anything else is a bug of ours.
        show = getattr(error, "show", None)
        code = getattr(error, "exit_code", None)
        if show is None or code is None:
            raise
        show()
        return int(code)
    return result if isinstance(result, int) else 0


def _show(error: PytauHpcError, *, as_json: bool) -> None:
    if as_json:
        problems = (
            [problem.as_json() for problem in error.problems] if isinstance(error, Invalid) else []
        )
        body = {
            "code": type(error).__name__,
            "message": error.message,
            "problems": problems,
            "help": error.help,
        }
        print(json.dumps({"schema": "pytau-hpc/error/1", "error": body}))
        return
    report_problem(error)
