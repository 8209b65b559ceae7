"""`DatabaseHandler`: the model database by the names that PyTau and its pages use.

Opened as `pytau_hpc.changepoint_io.DatabaseHandler`. The database is `ledger.model_database`; what a result file
becomes in it, `register`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytau_hpc.errors import PytauHpcError, UserError
from pytau_hpc.ledger.model_database import ModelDatabase
from pytau_hpc.register import columns_of_result, scan, strays

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Orphans:
    """What belongs to nothing: models whose file is gone, and files that no model of the database has."""

    rows: pd.DataFrame
    files: list[Path]


class DatabaseHandler:
    """The database of all models below a folder, in one SQLite file.

    Results that sweeps and `FitHandler` publish below that folder are found by themselves: every question looks through
    it first. Other files are added with `add_model`. Safe from several processes at once.

    Parameters
    ----------
    database_path : the file, made where it is missing; the models lie in its folder

    Raises
    ------
    UserError : the file is something else
    """

    def __init__(self, database_path: str | os.PathLike[str] = "models/database.db") -> None:
        self._database = ModelDatabase(database_path)

    @property
    def database_path(self) -> Path:
        """The SQLite file, for `pandas.read_sql` and other tools; brought up to date by this call."""
        self.scan()
        return self._database.path

    @property
    def models_dir(self) -> Path:
        """The folder of the models."""
        return self._database.folder

    def query(self, **columns: Any) -> pd.DataFrame:
        """Models with these values, one row each, the oldest first; all models where none are given.

        Parameters
        ----------
        columns : exact values; a list means any of them, None a missing value:
            ``query(animal_name="mouse1", states=[3, 4], laser_type=None)``

        Returns
        -------
        `model_id`, `model_path` (to open as it stands from where the database was opened), what was fitted, with which
        parameters, how well, and what the file contains. Times in seconds

        Raises
        ------
        UserError : no such column
        """
        from pytau_hpc.ledger.model_frames import frame

        self.scan()
        return frame(self._database.rows(columns))

    def add_model(
        self, model_path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Add a model, or complete the row that its file has.

        Parameters
        ----------
        model_path : the file; one of ours says itself what it is
        metadata : columns; a name that is not one of the known columns becomes a column of its own

        Returns
        -------
        id of the model

        Raises
        ------
        UserError : a value that does not fit its column
        ResultInvalid : a file of that kind that is not a result of ours
        """
        if not isinstance(metadata, Mapping | None):
            raise UserError(f"metadata must be a dict, column → value, not {metadata!r}")
        path = Path(os.path.abspath(os.path.expanduser(model_path)))
        known: dict[str, Any] = {}
        if path.suffix == ".nc" and path.exists():
            known = columns_of_result(self.models_dir.parent, path)
        [model_id] = self._database.add([(path, {**known, **(metadata or {})})])
        return model_id

    def update_model(self, model_id: int, **columns: Any) -> None:
        """Change columns of a model; None makes a value missing.

        Raises
        ------
        UserError : no such model, or no such column (a new one comes with `add_model`)
        """
        self._database.update(model_id, columns)

    def delete_model(self, model_id: int, *, delete_file: bool = False) -> None:
        """Remove a model from the database, and its file only where that is asked for.

        A result that stays on disk is not listed again, unless it is made anew or added with `add_model`.
        """
        paths = self._database.delete([model_id])
        if delete_file:
            _remove(paths)

    def scan(self) -> int:
        """Look for results that are not in the database yet, and add them; how many there were.

        Every question does so first; where nothing is new it costs one look at each session's folder.
        """
        return scan(self._database).registered

    def duplicates(self, keep: str | bool = "first") -> pd.DataFrame:
        """Models that are the same fit as another one: equal in everything but path, date and quality.

        Parameters
        ----------
        keep : which one of each group is not listed, "first" or "last"; False lists all of them
        """
        from pytau_hpc.ledger.model_frames import duplicated

        models = self.query()
        return models[duplicated(models, keep)]

    def orphans(self) -> Orphans:
        """Models whose file is gone, and files of models that the database does not list."""
        models = self.query()
        found = strays(self._database)
        return Orphans(rows=models[models["model_id"].isin(found.gone)], files=found.unlisted)

    def import_pytau(self, csv_path: str | os.PathLike[str]) -> list[int]:
        """Take over the models of a PyTau ``model_database.csv``; no pickle is opened. Again, it adds nothing.

        Returns
        -------
        ids of the models

        Raises
        ------
        UserError : not such a file
        """
        from pytau_hpc.ledger.pytau_database import read_pytau_database

        return self._database.add(read_pytau_database(Path(os.path.expanduser(csv_path))))

    # -- as PyTau calls it --------------------------------------------------------------------------------------------

    @property
    def fit_database(self) -> pd.DataFrame:
        """All models by PyTau's dotted columns (``exp.exp_name``, ``model.states``, …); times in ms, as there."""
        from pytau_hpc.ledger.model_frames import pytau_frame

        return pytau_frame(self.query())

    def show_duplicates(self, keep: str | bool = "first") -> tuple[pd.DataFrame, pd.Series]:
        """`duplicates` by PyTau's columns, and for each model of `fit_database` whether it is one."""
        from pytau_hpc.ledger.model_frames import duplicated, pytau_frame

        models = self.query()
        among, table = duplicated(models, keep), pytau_frame(models)
        among.index = table.index
        return table[among], among

    def drop_duplicates(self) -> int:
        """Remove all but the first of equal models from the database, not their files; how many these were."""
        return len(self._database.delete(self.duplicates()["model_id"]))

    def check_mismatched_paths(self) -> tuple[list[bool], list[bool], list[str]]:
        """Which models have no file, which files no model, and all files."""
        models = self.query()
        found = strays(self._database)
        unlisted = set(found.unlisted)
        return (
            models["model_id"].isin(found.gone).to_list(),
            [path in unlisted for path in found.files],
            [str(path) for path in found.files],
        )

    def clear_mismatched_paths(self, *, delete_files: bool = False) -> None:
        """Remove models whose file is gone; files without a model, which PyTau removes too, only where asked for.

        A result that cannot be read stays in any case: it may be a copy that is still being made.
        """
        found = strays(self._database)
        self._database.delete(found.gone)
        if delete_files:
            _remove(path for path in found.unlisted if path not in found.unreadable)

    @property
    def model_save_dir(self) -> str:
        """Where scripts of PyTau's put their own files beside the models; one folder for all experiments."""
        return os.fspath(self.models_dir)

    def write_updated_database(self) -> None:
        """Nothing: every change is in the file as soon as the call that made it returns."""

    def __repr__(self) -> str:
        return f"DatabaseHandler({os.fspath(self._database.given)!r})"


def _remove(paths: Iterable[Path]) -> None:
    refused = []
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            refused.append(f"{path}: {error.strerror or error}")
    if refused:
        raise PytauHpcError(f"cannot be removed: {'; '.join(refused)}")
