"""What a reader is: a name, the options it takes, and three questions that it answers about sessions.

No file is opened here and nothing heavy is imported; a reader's module is imported when it is first asked. `READERS`
in `pytau_hpc.data` lists them all.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytau_hpc.errors import BadData, did_you_mean
from pytau_hpc.sweep.point import Selection, Session

if TYPE_CHECKING:
    from pytau_hpc.data.recording import Recording

_TYPE_NAMES: Mapping[type, str] = {int: "a whole number", str: "text", dict: "a mapping"}


@dataclass(frozen=True)
class Option:
    """One key that a format takes beside `format` and `sessions`."""

    type: type
    default: Any = None
    required: bool = False
    minimum: int | None = None
    help: str = ""

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        if not isinstance(value, self.type) or isinstance(value, bool):
            return f"must be {_TYPE_NAMES[self.type]}, not `{value}`"
        if self.minimum is not None and isinstance(value, int) and value < self.minimum:
            return f"must be at least {self.minimum}, not {value}"
        return None


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a session offers to the axes taste, region and laser, known without reading its arrays.

    Attributes
    ----------
    n_tastes : tastes are indices 0 .. n_tastes - 1
    tastes : their names in that order, empty where nothing names them
    regions : regions that can be selected by name; "all" always can
    lasers : laser selections that leave at least one trial in some taste; "none" (all trials) always does
    n_trials : trials of each taste before a laser selection, or None where only reading would tell
    n_neurons, n_ms : neurons of all regions together and length in ms, or None likewise
    """

    n_tastes: int
    tastes: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    lasers: tuple[str, ...] = ("none",)
    n_trials: tuple[int, ...] | None = None
    n_neurons: int | None = None
    n_ms: int | None = None

    def taste_index(self, taste: int | str) -> int:
        """The index of a taste given by index or by name.

        Raises
        ------
        BadData : no such taste, or a name that two tastes share
        """
        if isinstance(taste, int) and not isinstance(taste, bool):
            if 0 <= taste < self.n_tastes:
                return taste
            last = self.n_tastes - 1
            raise BadData(
                f"taste {taste} does not exist; the session has {self.n_tastes}: "
                + (f"0 to {last}" if last else "0")
            )
        matches = [index for index, name in enumerate(self.tastes) if name == taste]
        if len(matches) == 1:
            return matches[0]
        if matches:
            where = ", ".join(map(str, matches))
            raise BadData(f"taste `{taste}` is the name of several tastes ({where}); use the index")
        known = (
            f"it has {', '.join(self.tastes)}"
            if self.tastes
            else "its tastes have no names, use the index"
        )
        raise BadData(
            f"taste `{taste}` does not exist; {known}", help=did_you_mean(str(taste), self.tastes)
        )

    def spelt(self, region: str) -> str:
        """A region as the session spells it, where only upper and lower case differ; else as it is given."""
        alike = [one for one in self.regions if one.casefold() == str(region).casefold()]
        return alike[0] if len(alike) == 1 else region

    def problems(self, selection: Selection) -> list[str]:
        """Everything that cannot be selected from this session; empty where all can."""
        found = []
        if selection.taste != "all":
            try:
                self.taste_index(selection.taste)
            except BadData as error:
                found.append(_with_help(error.message, error.help))
        if selection.region != "all" and selection.region not in self.regions:
            known = ", ".join(("all", *self.regions))
            found.append(
                _with_help(
                    f"region `{selection.region}` does not exist; the session has: {known}",
                    did_you_mean(selection.region, self.regions),
                )
            )
        if selection.laser not in ("none", "on", "off"):
            found.append(f"laser `{selection.laser}` is unknown; use none (all trials), on or off")
        elif selection.laser not in self.lasers:
            why = "has no laser_durations" if self.lasers == ("none",) else "has no such trials"
            found.append(f"laser `{selection.laser}` cannot be selected: the session {why}")
        return found

    def require(self, selection: Selection, session: Session) -> None:
        """Raise BadData with everything that is wrong with a selection."""
        found = self.problems(selection)
        if found:
            raise BadData(f"{session.name}: {'; '.join(found)}")


def _with_help(message: str, help: str | None) -> str:
    return f"{message} ({help})" if help else message


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One data format.

    Attributes
    ----------
    module : where `read(session, selection, options)` and `values(session, options)` are
    kind : "spikes" (1 kHz, window and bins are chosen in the spec) or "binned" (used as they are)
    suffixes : how its files end; empty where nothing is on disk, then `module` has `sessions(options)` too
    folders : whether a session may be a folder that holds one such file
    options : the keys it takes
    """

    name: str
    module: str
    summary: str
    kind: Literal["spikes", "binned"]
    options: Mapping[str, Option] = field(default_factory=dict)
    suffixes: tuple[str, ...] = ()
    folders: bool = False

    @property
    def on_disk(self) -> bool:
        return bool(self.suffixes)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Problems of the options, by key; empty where all is well."""
        found = {}
        for key, value in options.items():
            if key not in self.options:
                hint = did_you_mean(key, self.options)
                known = ", ".join(self.options)
                found[key] = _with_help(
                    f"format {self.name} takes no `{key}`; it takes: {known}", hint
                )
            elif (problem := self.options[key].problem(value)) is not None:
                found[key] = f"`{key}` {problem}"
        for key, option in self.options.items():
            if option.required and key not in options:
                found[key] = f"format {self.name} needs `{key}`: {option.help}"
        return found

    def resolve(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """The options with defaults filled in.

        Raises
        ------
        BadData : an option that is unknown, missing or of the wrong type
        """
        given = dict(options or {})
        if found := self.check_options(given):
            raise BadData("; ".join(found.values()))
        return {key: given.get(key, option.default) for key, option in self.options.items()}

    def sessions(
        self,
        patterns: Sequence[str],
        base: Path,
        options: Mapping[str, Any] | None = None,
        *,
        study: Path | None = None,
        called: Mapping[str, str] | None = None,
        without: Collection[Path] = (),
    ) -> list[Session]:
        """The sessions that patterns find, in natural order of their names.

        Parameters
        ----------
        patterns : globs or paths, relative to `base`; ignored by a format without files
        base : folder of the spec
        study : folder that `Session.path` is relative to; `base` where not given
        called : name, animal or date to go by, instead of what the names on disk say; only for files
        without : absolute paths of sessions that are known already, and not found a second time

        Raises
        ------
        BadData : nothing found, unusable names, two sessions of one name
        """
        resolved = self.resolve(options)
        if not self.on_disk:
            found: list[Session] = importlib.import_module(self.module).sessions(resolved)
            return found
        from pytau_hpc.data.sessions import find_sessions

        return find_sessions(
            patterns,
            base,
            suffixes=self.suffixes,
            folders=self.folders,
            animals=resolved["animals"],
            dates=resolved["dates"],
            called=called,
            without=without,
            study=study,
        )

    def values(self, session: Session, options: Mapping[str, Any] | None = None) -> Values:
        """What the session offers to the axes. `session.path` as in `read`."""
        values: Values = importlib.import_module(self.module).values(session, self.resolve(options))
        return values

    def read(
        self, session: Session, selection: Selection, options: Mapping[str, Any] | None = None
    ) -> Recording:
        """Read the selected part of a session.

        `session.path` must be absolute or relative to the current folder; `load.located` makes it so.

        Raises
        ------
        BadData : the file cannot be read, or the selection does not exist in it
        """
        recording: Recording = importlib.import_module(self.module).read(
            session, selection, self.resolve(options)
        )
        return recording
