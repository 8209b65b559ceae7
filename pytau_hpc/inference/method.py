"""What this package knows about an inference method before it runs it.

A `MethodKind` is light: the spec and `plan` read it without numpy, PyMC or JAX. The registry of all kinds is
`pytau_hpc.inference.METHODS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from pytau_hpc.inference.checkpoint import CheckpointLike
    from pytau_hpc.inference.posterior import Posterior
    from pytau_hpc.models.kind import ModelKind

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class MethodKind:
    """One inference method.

    Attributes
    ----------
    name : the word used in specs
    summary : one line for people
    engines : module that fits, by engine; the first is the default
    settings : the settings that a user may give, with what they are when the user does not
    resolve : settings as given → all settings, validated and spelled out, so that they identify the fit; pure.
        Raises `UserError` with one line per problem.
    """

    name: str
    summary: str
    engines: Mapping[str, str]
    settings: Mapping[str, Any]
    resolve: Callable[[Mapping[str, Any]], dict[str, Any]]

    def fit(
        self,
        kind: ModelKind,
        data: np.ndarray,
        n_states: int,
        options: Mapping[str, Any],
        settings: Mapping[str, Any],
        seed: int,
        checkpoint: CheckpointLike,
        progress: Progress,
    ) -> Posterior:
        """Fit one model to prepared data.

        Parameters
        ----------
        data : as `kind.prepare` returns it
        settings : as `resolve` returned them
        seed : any integer ≥ 0; the same seed gives the same result, bit for bit, on the same kind of machine
        checkpoint : where to resume from and save to
        progress : called with phase, iterations done and iterations expected

        Raises
        ------
        Interrupted : the checkpoint asked to stop, and the state is saved
        NonFinite : the fit reached NaN or infinity
        """
        module = importlib.import_module(self.engines[settings["engine"]])
        return module.fit(
            kind=kind,
            data=data,
            n_states=n_states,
            options=options,
            settings=settings,
            seed=seed,
            checkpoint=checkpoint,
            progress=progress,
        )
