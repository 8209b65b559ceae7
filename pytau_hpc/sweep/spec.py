"""The spec: what a person wrote, checked as far as that can be done without looking at the data.

Structure and types are pydantic models here; what the parts mean to each other is checked in `spec_checks`. What a
spec may name (models, methods, readers, transforms) comes in as `Known`, because the nouns know nothing about the
science. Everything that is wrong is found at once and reported with its place. Whether the sessions have the tastes
and regions that are asked for is the business of `plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo

from pytau_hpc.errors import SpecInvalid
from pytau_hpc.sweep.axes import Known
from pytau_hpc.sweep.document import Address, Document
from pytau_hpc.sweep.grid import Include
from pytau_hpc.sweep.resources import Request, RetrySettings
from pytau_hpc.sweep.spec_checks import Checked, check
from pytau_hpc.sweep.validate import (
    PointsPerTaskField,
    Strict,
    TimeField,
    Wrong,
    in_order,
    one_of,
    plain_line,
    profile_name,
    safe_name,
    validated,
)
from pytau_hpc.yaml_strict import load


class SessionEntry(Strict):
    """A session named in the spec, with what its folder's name says wrongly or not at all."""

    path: Annotated[str, AfterValidator(plain_line)]
    session: Annotated[str, AfterValidator(safe_name)] | None = None
    animal: Annotated[str, AfterValidator(safe_name)] | None = None
    date: Annotated[str, AfterValidator(safe_name)] | None = None


def _sessions(value: Any, info: ValidationInfo) -> Any:
    """A pattern, a list of patterns and entries, or (synthetic) how many."""
    entries = value if isinstance(value, list) else [value]
    if isinstance(value, int) and not isinstance(value, bool):
        return []  # how many sessions a format without files makes up: an option of the reader
    if not entries:
        raise Wrong("must not be empty", help='write  sessions: ["data/*"]')
    return [{"path": entry} if isinstance(entry, str) else entry for entry in entries]


def _known(info: ValidationInfo) -> Known:
    known: Known = (info.context or {})["known"]
    return known


def _reader(value: Any, info: ValidationInfo) -> str:
    return one_of(value, _known(info).readers, "data format")


def _method(value: Any, info: ValidationInfo) -> str:
    return one_of(value, _known(info).methods, "inference method")


class DataPart(Strict):
    """Keys beside these two are options of the format; `spec_checks` knows them."""

    model_config = ConfigDict(extra="allow")

    format: Annotated[Any, BeforeValidator(_reader)]
    sessions: Annotated[list[SessionEntry], BeforeValidator(_sessions)] = Field(default=[])


class FitPart(Strict):
    """Keys beside these are settings of the method; `spec_checks` knows them."""

    model_config = ConfigDict(extra="allow")

    method: Annotated[Any, BeforeValidator(_method)] = "advi"
    checkpoint_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    model_options: dict[str, Any] = Field(default={})


class ResourcesPart(Strict):
    """What a task may ask for; the same keys are a profile's defaults."""

    cpus: Annotated[int, Field(ge=1)] | None = None
    mem_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    time: TimeField | None = None
    points_per_task: PointsPerTaskField | None = None
    adapt: bool | None = None

    def request(self) -> Request:
        return Request(
            cpus=self.cpus,
            mem_gb=self.mem_gb,
            time_min=self.time,
            points_per_task=self.points_per_task,
            adapt=self.adapt,
        )


class RetryPart(Strict):
    """Budgets and factors; see `RetrySettings`. None where the file does not say: then the profile may."""

    failures: Annotated[int, Field(ge=0)] | None = None
    interruptions: Annotated[int, Field(ge=0)] | None = None
    grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    mem_factor: Annotated[float, Field(ge=1, le=10)] | None = None
    time_factor: Annotated[float, Field(ge=1, le=10)] | None = None


def _groups(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        raise Wrong("must be a list of groups of axes", help=f"write  zip: [[{', '.join(value)}]]")
    return value


class SpecFile(Strict):
    """The file's structure."""

    name: Annotated[str, AfterValidator(safe_name)]
    data: DataPart
    grid: dict[str, Any]
    zip: Annotated[list[list[str]], BeforeValidator(_groups)] = Field(default=[])
    exclude: list[dict[str, Any]] = Field(default=[])
    include: Any = Field(default=[])
    fit: FitPart = FitPart()
    resources: ResourcesPart = ResourcesPart()
    retry: RetryPart = RetryPart()
    profile: Annotated[str, AfterValidator(profile_name)] | None = None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A spec without mistakes of its own.

    Attributes
    ----------
    format, data_options : the reader and its options as written
    sessions : where to look, in the order of the file; empty where the format makes its sessions up
    axes : every axis but the session with its values, defaults filled in, in the order of the columns
    listed : names of the axes that are lists in the file; the others have one value
    zip, exclude, include : as written; rows of CSV files are among the included
    method, settings : the inference method and the settings of it that the file gives under `fit`
    checkpoint_s : seconds between checkpoints; not part of what is computed
    model_options : options for every model of the grid
    request, retry, profile : how points run; never what they compute
    document : the file, for the places of problems found later
    """

    name: str
    format: str
    data_options: Mapping[str, Any]
    sessions: tuple[SessionEntry, ...]
    axes: Mapping[str, tuple[Any, ...]]
    listed: frozenset[str]
    zip: tuple[tuple[str, ...], ...]
    exclude: tuple[Mapping[str, Any], ...]
    include: tuple[Include, ...]
    method: str
    settings: Mapping[str, Any]
    checkpoint_s: float
    model_options: Mapping[str, Any]
    request: Request
    retry: RetrySettings
    profile: str | None
    document: Document


def read_spec(path: Path, known: Known) -> Spec:
    """Read and check a spec.

    Raises
    ------
    UserError : the file cannot be read
    SpecInvalid : with everything that is wrong
    """
    return checked_spec(load(path), known, base=path.parent)


def checked_spec(document: Document, known: Known, *, base: Path) -> Spec:
    """Check a parsed spec; paths of CSV files are relative to `base`. Raises as `read_spec`."""
    written, problems = validated(
        SpecFile,
        document,
        lambda address: _known_keys(address),
        context={"known": known},
    )
    checked = check(document, known, base)
    problems = in_order([*problems, *checked.problems])
    if problems or written is None:
        raise SpecInvalid(document.file, problems)
    return _spec(written, checked, document)


def _spec(written: SpecFile, checked: Checked, document: Document) -> Spec:
    return Spec(
        name=written.name,
        format=written.data.format,
        data_options=checked.data_options,
        sessions=tuple(written.data.sessions),
        axes=checked.axes,
        listed=checked.listed,
        zip=tuple(tuple(group) for group in written.zip),
        exclude=tuple(checked.exclude),
        include=tuple(checked.include),
        method=written.fit.method,
        settings=checked.settings,
        checkpoint_s=written.fit.checkpoint_s,
        model_options=written.fit.model_options,
        request=written.resources.request(),
        retry=RetrySettings(**written.retry.model_dump()),
        profile=written.profile,
        document=document,
    )


_PARTS: Mapping[str, type[Strict]] = {"resources": ResourcesPart, "retry": RetryPart}


def _known_keys(address: Address) -> list[str]:
    if not address:
        return list(SpecFile.model_fields)
    if address[:2] == ("data", "sessions"):
        return list(SessionEntry.model_fields)
    part = _PARTS.get(str(address[0]))
    return list(part.model_fields) if part else []
