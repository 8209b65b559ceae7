"""The data room: from files to the arrays that models see.

`READERS` is the list of formats; a new one is one module with `read` and `values`, and one line here. `TRANSFORMS` is
the list of what preprocessing may do to the spikes. Importing this module loads no numpy and no h5py, so that the spec
can be checked on a busy login node. Called by `plan` (what is there, is it sound) and by the fit process
(`pytau_hpc.data.load`). Knows nothing of models, inference or sweeps' folders.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytau_hpc.data.reader import Option, Reader, Values
from pytau_hpc.data.transforms import TRANSFORMS, Transform
from pytau_hpc.errors import BadData, did_you_mean
from pytau_hpc.plugins import Registry

__all__ = ["READERS", "TRANSFORMS", "Option", "Reader", "Transform", "Values", "reader_of"]

_HDF5 = (".h5", ".hdf5")

#: Options that every format on disk takes.
_NAMING = {
    "animals": Option(
        dict, default={}, help="animal of a session where its name does not say: {session: animal}"
    ),
    "dates": Option(
        dict, default={}, help="date of a session where its name does not say: {session: date}"
    ),
}

READERS: Mapping[str, Reader] = Registry(
    "READERS",
    {
        "blech_hdf5": Reader(
            name="blech_hdf5",
            module="pytau_hpc.data.blech_hdf5",
            summary="blech_clust session folders: spike trains by dig_in, regions and tastes from the .info file",
            kind="spikes",
            suffixes=_HDF5,
            folders=True,
            options=_NAMING,
        ),
        "hdf5": Reader(
            name="hdf5",
            module="pytau_hpc.data.hdf5",
            summary="one HDF5 dataset of spikes, [taste ×] trial × neuron × ms",
            kind="spikes",
            suffixes=_HDF5,
            folders=True,
            options={
                **_NAMING,
                "dataset": Option(str, required=True, help="path of the array inside the file"),
            },
        ),
        "npy": Reader(
            name="npy",
            module="pytau_hpc.data.npy",
            summary="NumPy arrays (.npy, .npz), binned already",
            kind="binned",
            suffixes=(".npy", ".npz"),
            options={**_NAMING, "key": Option(str, help="which array of an .npz file")},
        ),
        "csv": Reader(
            name="csv",
            module="pytau_hpc.data.csv_column",
            summary="one column of a CSV file, binned already",
            kind="binned",
            suffixes=(".csv",),
            options={**_NAMING, "column": Option(str, help="name of the column")},
        ),
        "synthetic": Reader(
            name="synthetic",
            module="pytau_hpc.data.synthetic_reader",
            summary="simulated spikes with known changepoints; nothing on disk",
            kind="spikes",
            options={
                "sessions": Option(
                    int, default=2, minimum=1, help="how many sessions, of two animals"
                ),
                "tastes": Option(int, default=4, minimum=1, help="tastes per session"),
                "trials": Option(int, default=30, minimum=1, help="trials per taste"),
                "neurons": Option(int, default=10, minimum=1, help="neurons per session"),
                "n_states": Option(int, default=4, minimum=1, help="true number of states"),
                "seed": Option(int, default=0, minimum=0, help="seed of the random numbers"),
                "duration_ms": Option(int, default=2000, minimum=1, help="length of a trial"),
            },
        ),
    },
)


def reader_of(name: str) -> Reader:
    """The reader of a format.

    Raises
    ------
    BadData : no such format
    """
    if name not in READERS:
        raise BadData(
            f"no data format `{name}`; known: {', '.join(READERS)}",
            help=did_you_mean(name, READERS),
        )
    return READERS[name]
