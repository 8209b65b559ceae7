"""Models, methods and readers of your own: modules named in ``$PYTAU_HPC_PLUGINS``, separated by commas.

Such a module has a mapping called like the registry that it adds to (``METHODS = {"mine": MethodKind(…)}``). It has to
be importable where the spec is planned and where tasks run. Called by the registries when they are first imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pytau_hpc.errors import UserError

VARIABLE = "PYTAU_HPC_PLUGINS"


def registered(registry: str) -> Mapping[str, Any]:
    """What the plugins add to a registry.

    Raises
    ------
    UserError : a module that is named cannot be imported
    """
    found: dict[str, Any] = {}
    for name in filter(None, os.environ.get(VARIABLE, "").split(",")):
        try:
            module = import_module(name.strip())
        except ImportError as error:
            raise UserError(
                f"the plugin `{name}` named in ${VARIABLE} cannot be imported: {error}",
                help="install it, or put its folder on $PYTHONPATH",
            ) from error
        found.update(getattr(module, registry, {}))
    return found
