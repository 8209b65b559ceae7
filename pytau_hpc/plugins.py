"""Models, methods and readers of your own: modules named in ``$PYTAU_HPC_PLUGINS``, separated by commas.

Such a module has a mapping called like the registry that it adds to: ``MODELS``, ``METHODS`` or ``READERS``. It has to
be importable where the spec is planned and where tasks run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import TypeVar

from pytau_hpc.errors import UserError

VARIABLE = "PYTAU_HPC_PLUGINS"

Kind = TypeVar("Kind")


class Registry(Mapping[str, Kind]):
    """What there is of something, by name: ours, and what plugins add.

    Plugins are imported when the registry is first asked, not when it is made: a plugin imports the package that it
    adds to.

    Parameters
    ----------
    name : what the mapping of a plugin is called
    """

    def __init__(self, name: str, ours: Mapping[str, Kind]) -> None:
        self._name = name
        self._ours = ours

    @cached_property
    def _all(self) -> dict[str, Kind]:
        found = dict(self._ours)
        for name in filter(None, os.environ.get(VARIABLE, "").split(",")):
            try:
                module = import_module(name.strip())
            except ImportError as error:
                raise UserError(
                    f"the plugin `{name}` named in ${VARIABLE} cannot be imported: {error}",
                    help="install it, or put its folder on $PYTHONPATH",
                ) from error
            found.update(getattr(module, self._name, {}))
        return found

    def __getitem__(self, name: str) -> Kind:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
