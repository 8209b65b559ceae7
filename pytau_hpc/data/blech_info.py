"""The `.info` file of a blech_clust session: JSON with the experiment's tastes, regions and electrodes.

A session without one can still be read, by index of the taste and with all regions together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytau_hpc.data.sessions import files_in
from pytau_hpc.errors import BadData


@dataclass(frozen=True, kw_only=True)
class Info:
    """What `.info` says that selections need.

    Attributes
    ----------
    path : the file, None where there is none
    tastes, dig_ins : names of the tastes and the dig_in of each, in the file's order
    regions : names of the regions, without "emg"
    electrodes : electrode numbers of each region; a region may be missing here
    """

    path: Path | None = None
    tastes: tuple[str, ...] = ()
    dig_ins: tuple[Any, ...] = ()
    regions: tuple[str, ...] = ()
    electrodes: Mapping[str, frozenset[int]] = field(default_factory=dict)


def read_info(data_file: Path) -> Info:
    """Read the `.info` beside a data file: the one of the same name, else the only one.

    Raises
    ------
    BadData : several of them, not JSON, or not in the form that blech_clust writes
    """
    found = files_in(data_file.parent, (".info",))
    same = [path for path in found if path.stem == data_file.stem]
    if not found:
        return Info()
    if len(found) > 1 and not same:
        names = ", ".join(path.name for path in found)
        raise BadData(f"{data_file.parent} holds {len(found)} .info files ({names}); one is needed")
    path = (same or found)[0]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise BadData(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read: {error}") from error
    try:
        return _parsed(path, content)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{path} is not in the form of a blech_clust .info file: {error}") from error


def _parsed(path: Path, content: Mapping[str, Any]) -> Info:
    tastes = content.get("taste_params") or {}
    layout = content.get("electrode_layout") or {}
    electrodes = {
        str(region): frozenset(_flat(numbers))
        for region, numbers in layout.items()
        if str(region).lower() != "emg"
    }
    listed = [
        str(region) for region in content.get("regions") or [] if str(region).lower() != "emg"
    ]
    return Info(
        path=path,
        tastes=tuple(str(name) for name in tastes.get("tastes") or []),
        dig_ins=tuple(tastes.get("dig_ins") or []),
        regions=tuple(electrodes) or tuple(dict.fromkeys(listed)),
        electrodes=electrodes,
    )


def _flat(numbers: Any) -> Iterator[int]:
    """Electrode numbers of a layout, however deep: blech_clust nests one list per group of common reference."""
    if isinstance(numbers, list):
        for part in numbers:
            yield from _flat(part)
    else:
        yield int(numbers)
