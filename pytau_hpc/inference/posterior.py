"""What a fit returns: draws, how good they are, and how they were reached.

Every inference method returns a `Posterior`; `inference.result_file` writes it. Nothing here computes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Info = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Draws and diagnostics of one fit.

    Attributes
    ----------
    draws : one array per variable, shape (draw, …); `tau` is in bins, sorted along its last axis. Where there are
        several chains, the draws of the first come first
    elbo : evidence lower bound in nats (higher is better), estimated from fresh draws; PyTau's "loss" is its negative.
        NaN where the method has none
    elbo_se : standard error of that estimate, in nats
    converged : whether the method's own stopping test was met before the budget was spent
    iterations : optimiser steps behind the returned draws (not those of starts that were dropped)
    loss : float array, shape (record,), negative ELBO as recorded on the way; empty where there is none
    loss_every : iterations between two records of `loss`, as a rule
    loss_iteration : int array, shape (record,), the iteration of each; None where the rule has no exceptions
    info : whatever else the method knows (engine, start that won, seconds, …), one plain value each
    chains : how many Markov chains the draws are from; 1 for independent draws
    rhat_max : of the variables that have one meaning, the largest R-hat; None for independent draws
    ess_min : and the smallest effective sample size, of bulk and tails
    divergences : how many transitions diverged after tuning
    statistics : what the sampler says of each draw, by name, shape (draw,)
    """

    draws: Mapping[str, np.ndarray]
    elbo: float
    elbo_se: float
    converged: bool
    iterations: int
    loss: np.ndarray
    loss_every: int
    loss_iteration: np.ndarray | None = None
    info: Info = field(default_factory=dict)
    chains: int = 1
    rhat_max: float | None = None
    ess_min: float | None = None
    divergences: int | None = None
    statistics: Mapping[str, np.ndarray] = field(default_factory=dict)
