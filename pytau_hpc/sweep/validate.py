"""From pydantic's errors to problems with a place in the user's file.

The spec and the profile are both a YAML document checked by a pydantic model. Here is what they share: the base model
(strict types, unknown keys refused), an exception for our own checks, and the translation of what pydantic reports
into the words of this package. Called by `sweep.spec` and `executors.profile`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from pytau_hpc.errors import Problem, did_you_mean
from pytau_hpc.sweep.document import Address, Document, address_text
from pytau_hpc.sweep.resources import parse_time

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)
"""Names that become folders, job names and file names: nothing a shell or a path could take for something else."""

_SAFE_VALUE = re.compile(r"[\w.,:@/=+\-\[\]% ]{1,256}\Z", re.ASCII)

_SHELL = re.compile(r"[;`]|\$\(|\.\./")
"""What begins another command or leaves a folder: refused even where free text is allowed, although it is quoted."""


class Wrong(ValueError):
    """A value that our own check refuses. `message` follows the value's address; `at` points below it."""

    def __init__(self, message: str, *, help: str | None = None, at: Address = ()) -> None:
        super().__init__(message)
        self.message, self.help, self.at = message, help, at


class Strict(BaseModel):
    """No unknown keys, no silent conversion of types, no change after it was read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_MISSING = "`{name}` is missing{where}"
_UNKNOWN_KEY = re.compile(r"unknown key `[^`]*`(.*)")
_SUGGESTED = re.compile(r"did you mean `([^`]*)`\?")

M = TypeVar("M", bound=BaseModel)
KnownKeys = Callable[[Address], list[str]]


def validated(
    model: type[M],
    document: Document,
    known_keys: KnownKeys,
    *,
    context: Mapping[str, Any] | None = None,
    elsewhere: Mapping[str, str] | None = None,
) -> tuple[M | None, list[Problem]]:
    """Check a document against a model; all problems, in the order of the file, YAML's own among them.

    Parameters
    ----------
    known_keys : the keys that may stand in the mapping at an address, for "did you mean"
    context : handed to the validators
    elsewhere : hints for words that are wrong here but that people bring from somewhere else
    """
    problems = list(document.problems)
    if not isinstance(document.value, dict):
        if not problems:
            problems.append(
                document.problem((), "the file must be a mapping: lines of `key: value`")
            )
        return None, problems
    try:
        return model.model_validate(document.value, context=dict(context or {})), problems
    except ValidationError as error:
        for one in error.errors(include_url=False):
            if one["type"] == "missing" and not document.complete:
                continue  # it may stand in the part that could not be read
            problems.append(_problem(document, one, known_keys, elsewhere or {}))
    return None, problems


def in_order(problems: list[Problem]) -> list[Problem]:
    """Problems in the order of the file, each once. A key that is there, misspelt, is not missing as well."""
    misspelt = {
        _MISSING.format(name=suggested[1], where=unknown[1])
        for problem in problems
        if (unknown := _UNKNOWN_KEY.fullmatch(problem.message))
        and (suggested := _SUGGESTED.fullmatch(problem.help or ""))
    }
    unique = {(p.line, p.column, p.message): p for p in problems if p.message not in misspelt}
    return sorted(unique.values(), key=lambda p: (p.line or 0, p.column or 0))


def _problem(
    document: Document,
    error: Mapping[str, Any],
    known_keys: KnownKeys,
    elsewhere: Mapping[str, str],
) -> Problem:
    address = _in_document(document, error["loc"])
    if error["type"] == "extra_forbidden":
        return unknown_key(document, address, known_keys(address[:-1]), elsewhere)
    if error["type"] == "missing":
        *parent, name = error["loc"]
        where = f" in `{address_text(parent)}`" if parent else ""
        return document.problem(parent, _MISSING.format(name=name, where=where), at_key=True)
    wrong = error.get("ctx", {}).get("error")
    if isinstance(wrong, Wrong):
        address = (*address, *wrong.at)
        return document.problem(
            address, f"`{address_text(address)}` {wrong.message}", help=wrong.help
        )
    message, hint = _in_words(address, error)
    return document.problem(address, message, help=hint)


def unknown_key(
    document: Document,
    address: Address,
    known: list[str],
    elsewhere: Mapping[str, str] | None = None,
) -> Problem:
    """The problem of a key that may not stand where it does."""
    *parent, name = address
    where = f" in `{address_text(parent)}`" if parent else ""
    hint = did_you_mean(str(name), known)
    if elsewhere and str(name) in elsewhere and elsewhere[str(name)] in known:
        hint = f"did you mean `{elsewhere[str(name)]}`?"
    return document.problem(
        address,
        f"unknown key `{name}`{where}",
        help=hint or f"known keys: {', '.join(known)}",
        at_key=True,
    )


def _in_document(document: Document, loc: Address) -> Address:
    """An error's location; without the index of a list that is a single value in the file."""
    address = tuple(loc)
    while address and address not in document.values and isinstance(address[-1], int):
        address = address[:-1]
    return address


_WORDS = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of `key: value`",
    "model_type": "must be a mapping of `key: value`",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
}


def _in_words(address: Address, error: Mapping[str, Any]) -> tuple[str, str | None]:
    """Our message for one of pydantic's own checks."""
    value = error["input"]
    name = f"`{address_text(address)}`"
    kind = error["type"]
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
        known = f"must be one of {', '.join(allowed)}"
        return f"{name} {known}, got {shown(value)}", did_you_mean(str(value), allowed)
    if kind == "too_short":
        return f"{name} must not be empty", None
    if kind not in _WORDS:
        return f"{name}: {error['msg']}", None
    words = _WORDS[kind].format(**error.get("ctx", {}))
    return f"{name} {words}, got {shown(value)}", None


def shown(value: Any) -> str:
    """A value as it would stand in the file, cut where it is long."""
    plain = isinstance(value, str) and value.isprintable()
    text = value if plain else json.dumps(value, default=str, ensure_ascii=False)
    return f"`{text if len(text) <= 60 else text[:57] + '…'}`"


def safe_name(value: str) -> str:
    """A name for a folder and for jobs."""
    if not SAFE_NAME.match(value) or ".." in value:
        raise Wrong(
            f"must be a plain name, got {shown(value)}",
            help="use letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 64",
        )
    return value


def safe_value(value: str) -> str:
    """A value that reaches the scheduler's command line or script: characters from a short list, no way up a path."""
    if not _SAFE_VALUE.match(value) or ".." in value or value != value.strip():
        raise Wrong(
            f"has a character that must not reach the scheduler: {shown(value)}",
            help="allowed are letters, digits, spaces inside, and . , : @ / = + - _ [ ] %",
        )
    return value


def one_of(value: Any, known: Any, what: str) -> str:
    """A name that is in a registry."""
    names = sorted(known)
    if not isinstance(value, str) or value not in names:
        hint = did_you_mean(str(value), names)
        listed = f"known: {', '.join(names)}"
        raise Wrong(f"names no {what}: {shown(value)}", help=f"{hint} {listed}" if hint else listed)
    return value


def plain_line(value: str) -> str:
    """Text of one line without control characters: a path, a pattern, a name."""
    if not value.strip() or not value.isprintable():
        raise Wrong(f"must be one line of plain text, got {shown(value)}")
    return value


def harmless_text(value: str) -> str:
    """One line of free text, or nothing, that no shell would take for a command."""
    if value and not value.isprintable():
        raise Wrong(f"must be one line, got {shown(value)}")
    if found := _SHELL.search(value):
        raise Wrong(f"must not hold `{found[0]}`, got {shown(value)}")
    return value


def profile_name(value: str) -> str:
    """The name of a profile, or the path of its file: absolute, or below the study folder."""
    is_path = "/" in value or value.endswith((".yaml", ".yml"))
    if not is_path:
        return safe_name(value)
    if not value.strip() or value.startswith("-") or ".." in value.split("/"):
        raise Wrong(f"must be the name or the file of a profile, got {shown(value)}")
    return harmless_text(value)


def _minutes(value: Any) -> int:
    try:
        return parse_time(value)
    except ValueError as error:
        raise Wrong(
            f"is wrong: {error}", help='write  time: "01:30:00"  or  "2-00:00:00"'
        ) from None


def _per_task(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise Wrong(f"must be `auto` or a whole number from 1, got {shown(value)}")


TimeField = Annotated[int, BeforeValidator(_minutes)]
"""A time limit as SLURM writes it; minutes once it is read."""

PointsPerTaskField = Annotated[Any, BeforeValidator(_per_task)]


class Findings:
    """Collects problems of a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def note(
        self,
        address: Iterable[str | int],
        message: str,
        *,
        help: str | None = None,
        at_key: bool = False,
    ) -> None:
        self.problems.append(self.document.problem(address, message, help=help, at_key=at_key))

    def wrong(self, address: Address, wrong: Wrong) -> None:
        """Something that a check of a value refused."""
        place = (*address, *wrong.at)
        while place not in self.document.values and len(place) > len(address):
            place = place[:-1]  # a single value in the file is a list of one here
        self.note(place, f"`{address_text(place)}` {wrong.message}", help=wrong.help)
