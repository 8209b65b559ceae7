"""What preprocessing may do to the spikes before they are binned: names and conditions, without numpy.

The computation of each is in `preprocess`; plan and the spec need only this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytau_hpc.errors import UserError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Transform:
    """One transform. `needs` are the dimensions it works on; `spikes_only` where bins would change its meaning."""

    name: str
    summary: str
    needs: tuple[str, ...] = ()
    spikes_only: bool = False


#: The meanings are PyTau's (changepoint_preprocess.preprocess_single_taste and preprocess_all_taste).
TRANSFORMS: Mapping[str, Transform] = {
    "none": Transform(name="none", summary="the data as they are"),
    # Whole trials move, so this commutes with binning and is fine for counts too.
    "trial_shuffled": Transform(
        name="trial_shuffled",
        summary="every neuron's trials in an order of its own: no more coordination between neurons",
        needs=("trial", "neuron"),
    ),
    # At each millisecond; with bins instead, runs of spikes inside a bin would stay together.
    "spike_shuffled": Transform(
        name="spike_shuffled",
        summary="at every millisecond the trials in an order of their own: no more single-trial time course",
        needs=("trial", "neuron"),
        spikes_only=True,
    ),
    # A spike with the probability of its millisecond; for counts there is no such probability.
    "simulated": Transform(
        name="simulated",
        summary="spikes drawn from each neuron's mean over trials: no changepoints of single trials",
        needs=("trial", "neuron"),
        spikes_only=True,
    ),
}


def transform_named(name: str | None) -> str:
    """Our name of a transform that is given as PyTau gives it.

    Raises
    ------
    UserError : no such transform
    """
    if name in (None, "None"):
        return "none"
    if isinstance(name, str) and name in TRANSFORMS:
        return name
    known = [None, *(other for other in TRANSFORMS if other != "none")]
    raise UserError(
        f"data_transform must be one of {', '.join(map(repr, known))}, not {name!r}",
        help=did_you_mean(str(name), TRANSFORMS),
    )
