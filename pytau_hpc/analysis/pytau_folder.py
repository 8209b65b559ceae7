"""The session that the metadata of PyTau point to: a folder of blech_clust, a taste, a region, a laser.

Called by `pickles` and the door `changepoint_analysis` for the spikes behind a fit, and by `pytau_pickle` for the
number of a taste. Results of ours know more of their session; see `results`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytau_hpc.analysis.fitted import Raw
from pytau_hpc.data import Values, reader_of
from pytau_hpc.errors import BadData
from pytau_hpc.sweep.point import Selection, Session


def raw_of_folder(data: Mapping[str, Any], trials: tuple[int, ...] = ()) -> Raw:
    """The spikes that were fitted, unbinned.

    Parameters
    ----------
    data : `data_dir`, `taste_num` (an index, a name or "all"), `region_name` in any case, and `laser_type`
    trials : how many trials were fitted, with the number of tastes in front where they were fitted together; not
        compared where empty

    Raises
    ------
    BadData : they are not there, or they are not so many
    """
    reader, session = reader_of("blech_hdf5"), _session(data)
    known = reader.values(session)
    array = reader.read(
        session,
        Selection(
            taste=_taste(data["taste_num"], known),
            region=known.spelt(_or(data["region_name"], "all")),
            laser=_or(data.get("laser_type"), "none"),
        ),
    ).array
    found = array.shape[:-2]
    if trials and _without_a_single_taste(found) != _without_a_single_taste(trials):
        raise BadData(
            f"{session.path} has {_shown(found)} of taste {data['taste_num']}, laser "
            f"{data.get('laser_type')}; the fit has {_shown(trials)}",
            help="its metadata must be those of the data that were fitted",
        )
    return Raw(activity=array, valid=(0, array.shape[-1]))


def taste_index(data: Mapping[str, Any]) -> Any:
    """`taste_num` as PyTau has it, an index or "all"; a name of which no index is known stays as it is."""
    taste = data["taste_num"]
    if taste == "all":
        return taste
    try:
        return reader_of("blech_hdf5").values(_session(data)).taste_index(taste)
    except BadData:
        return taste


def _session(data: Mapping[str, Any]) -> Session:
    return Session(name=str(data["data_dir"]), animal="", date="", path=str(data["data_dir"]))


def _taste(taste: Any, known: Values) -> int | str:
    if isinstance(taste, str) and (taste in ("all", *known.tastes) or not taste.isdecimal()):
        return taste
    return int(taste)


def _or(name: Any, otherwise: str) -> str:
    """PyTau's None, which its files also write as a word."""
    return otherwise if name in (None, "None") else str(name)


def _without_a_single_taste(trials: tuple[int, ...]) -> tuple[int, ...]:
    return trials[1:] if len(trials) == 2 and trials[0] == 1 else trials


def _shown(trials: tuple[int, ...]) -> str:
    *tastes, n_trials = trials
    return "".join(f"{n} tastes × " for n in tastes) + f"{n_trials} trials"
