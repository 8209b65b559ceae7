"""From the points that a sampler drew to a `Posterior`, with what is known of how well it mixed.

Which variables count: those that mean one thing. `tau_latent` is not sorted, and its prior's `a_tau` and `b_tau` go by
its order, so two chains may hold the same changepoints under other labels; what is compared is `tau`, which is sorted,
and the states' emissions. R-hats of all variables are in `info`. Called by the engines of `nuts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pytau_hpc.errors import NonFinite
from pytau_hpc.inference.arviz_compat import Mixing, mixing
from pytau_hpc.inference.nuts_run import Drawn
from pytau_hpc.inference.posterior import Posterior
from pytau_hpc.inference.result_file import by_chain

BY_LABEL = ("tau_latent", "a_tau", "b_tau", "tau_trial_latent")

# Vehtari et al. (2021, Bayesian Analysis 16:667): R-hat below 1.01, and 100 effective draws for each chain.
RHAT_LIMIT = 1.01
ESS_PER_CHAIN = 100


def posterior_of(
    draws: Mapping[str, np.ndarray],
    drawn: Drawn,
    settings: Mapping[str, Any],
    info: Mapping[str, str | int | float | bool],
) -> Posterior:
    """What a sampler returns.

    Parameters
    ----------
    draws : shape (draw, …), chain after chain, the model's variables in its own space
    drawn : the points behind them, with statistics
    settings : of the method, resolved
    info : what the engine adds

    Raises
    ------
    NonFinite : a draw is not finite
    """
    for name, array in draws.items():
        if not np.isfinite(array).all():
            raise NonFinite(f"draws of {name} are not finite")
    chains = int(settings["chains"])
    mixed = mixing({name: by_chain(array, chains) for name, array in draws.items()})
    judged = {n: m for n, m in mixed.items() if n not in BY_LABEL} or mixed
    if not judged:
        raise NonFinite("no variable ever moved")
    stuck = [name for name, m in judged.items() if not np.isfinite([m.rhat, m.ess]).all()]
    if stuck:
        raise NonFinite(f"a chain did not move at all in {', '.join(stuck)}")
    worst = Mixing(
        rhat=max(m.rhat for m in judged.values()), ess=min(m.ess for m in judged.values())
    )
    found: dict[str, str | int | float | bool] = {
        "engine": settings["engine"],
        **info,
        "rhat_worst": max(judged, key=lambda name: judged[name].rhat),
        **{f"rhat_{name}": m.rhat for name, m in mixed.items()},
        **{f"ess_{name}": m.ess for name, m in mixed.items()},
    }
    if drawn.restarted:
        found["restarted"] = drawn.restarted
    return Posterior(
        draws=draws,
        elbo=float("nan"),
        elbo_se=float("nan"),
        converged=worst.rhat < RHAT_LIMIT and worst.ess >= ESS_PER_CHAIN * chains,
        iterations=chains * (int(settings["tune"]) + int(settings["draws"])),
        loss=np.zeros(0),
        loss_every=1,
        info=found,
        chains=chains,
        rhat_max=worst.rhat,
        ess_min=worst.ess,
        divergences=int(drawn.statistics["diverging"].sum())
        if "diverging" in drawn.statistics
        else None,
        statistics={name: array.reshape(-1) for name, array in drawn.statistics.items()},
    )
