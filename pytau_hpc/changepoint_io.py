"""Models on disk by the names that PyTau gives them: `FitHandler` and `DatabaseHandler`.

A door: names only. They are in `fit_handler` and `database_handler`.
"""

from __future__ import annotations

from pytau_hpc.database_handler import DatabaseHandler, Orphans
from pytau_hpc.fit_handler import FitHandler
from pytau_hpc.fit_here import SavedFit

__all__ = ["DatabaseHandler", "FitHandler", "Orphans", "SavedFit"]
