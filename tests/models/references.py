"""What each model's log density must be: a formula written without PyMC, and numbers that PyTau itself gave.

The numbers were computed once with PyTau's own classes (github.com/abuzarmahmood/pytau at 57b517f) at
points that anyone can make again: PyMC's initial point, and three displacements of it by sine waves.

A model that is added gets an entry here; the contract tests look for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Reference:
    """A small data set, the density as a formula, and PyTau's numbers by number of states.

    formula : (data, free values by variable name, number of states) → log density in the unconstrained space
    pytau : log density at the initial point and at `displaced` 0, 1 and 2
    """

    data: np.ndarray
    formula: Callable[[np.ndarray, Arrays, int], float]
    pytau: Mapping[int, Sequence[float]]


def wave(shape: tuple[int, ...], phase: float) -> np.ndarray:
    return np.sin(1.7 * np.arange(int(np.prod(shape))) + phase).reshape(shape)


def counts(*shape: int) -> np.ndarray:
    return (np.arange(int(np.prod(shape))) * 7 % 11 % 5).reshape(shape)


def displaced(initial: Arrays, number: int) -> dict[str, np.ndarray]:
    """The initial point (free values, in PyMC's order of variables) moved by waves."""
    return {
        name: value + wave(value.shape, float(number) + index)
        for index, (name, value) in enumerate(initial.items())
    }


def prior_means(data: np.ndarray, n_states: int) -> np.ndarray:
    """Shape (…, state)."""
    parts = np.array_split(data, n_states, axis=-1)
    return np.stack([part.mean(axis=-1) for part in parts], axis=-1)


def positive(free: np.ndarray) -> tuple[np.ndarray, float]:
    """A positive parameter whose logarithm is free, and the Jacobian's share."""
    return np.exp(free), float(free.sum())


def changepoint_prior(free: Arrays) -> tuple[np.ndarray, float]:
    """`tau_latent` on (0, 1), and the log density of it and of the parameters of its prior."""
    a, a_jacobian = positive(free["a_tau"])
    b, b_jacobian = positive(free["b_tau"])
    latent = expit(free["tau_latent"])
    logp = (
        stats.halfcauchy.logpdf(a, scale=3).sum()
        + stats.halfcauchy.logpdf(b, scale=3).sum()
        + stats.beta.logpdf(latent, a, b).sum()
        + np.log(latent * (1 - latent)).sum()
    )
    return latent, float(logp + a_jacobian + b_jacobian)


def weights(latent: np.ndarray, n_bins: int) -> np.ndarray:
    """One trial's share of each state in each bin, shape (state, bin), by its definition."""
    tau = np.sort(latent) * (n_bins - 1)
    n_states = len(tau) + 1
    found = np.ones((n_states, n_bins))
    for state in range(n_states):
        for time in range(n_bins):
            if state > 0:
                found[state, time] *= expit(time - tau[state - 1])
            if state < n_states - 1:
                found[state, time] *= 1 - expit(time - tau[state])
    return found


def single_taste_poisson(data: np.ndarray, free: Arrays, n_states: int) -> float:
    mean = prior_means(data, n_states).mean(axis=0) + 0.01
    rates, logp = positive(free["lambda"])
    logp += stats.expon.logpdf(rates, scale=mean).sum()
    latent, of_changepoints = changepoint_prior(free)
    for trial in range(len(data)):
        expected = rates @ weights(latent[trial], data.shape[-1])
        logp += stats.poisson.logpmf(data[trial], expected).sum()
    return float(logp + of_changepoints)


def poisson_changepoint_1d(data: np.ndarray, free: Arrays, n_states: int) -> float:
    rates, logp = positive(free["lambda"])
    logp += stats.expon.logpdf(rates, scale=prior_means(data, n_states) + 0.01).sum()
    latent, of_changepoints = changepoint_prior(free)
    expected = rates @ weights(latent, len(data))
    return float(logp + of_changepoints + stats.poisson.logpmf(data, expected).sum())


def gaussian_changepoint_mean_2d(data: np.ndarray, free: Arrays, n_states: int) -> float:
    sigma, logp = positive(free["sigma"])
    logp += stats.halfcauchy.logpdf(sigma, scale=3).sum()
    logp += stats.norm.logpdf(free["mu"], prior_means(data, n_states) + 0.01, 1.0).sum()
    latent, of_changepoints = changepoint_prior(free)
    expected = free["mu"] @ weights(latent, data.shape[-1])
    logp += stats.norm.logpdf(data, expected, sigma[:, None]).sum()
    return float(logp + of_changepoints)


REFERENCES: Mapping[str, Reference] = {
    "single_taste_poisson": Reference(
        data=counts(3, 2, 12),
        formula=single_taste_poisson,
        pytau={
            2: (-133.96988296184495, -172.43470908907446, -165.43845309163746, -163.84626247947625),
            3: (-140.07318801790197, -166.3505362351209, -167.21705326576432, -172.9087353508032),
        },
    ),
    "poisson_changepoint_1d": Reference(
        data=counts(15),
        formula=poisson_changepoint_1d,
        pytau={
            2: (-30.966997119493847, -40.3474447731599, -41.01627607828016, -39.29878429851457),
            4: (-40.517675157478784, -48.42594548142486, -59.947342560034876, -59.9737210039203),
        },
    ),
    "gaussian_changepoint_mean_2d": Reference(
        data=3 * wave((2, 14), 0.5),
        formula=gaussian_changepoint_mean_2d,
        pytau={
            2: (-72.37856444019378, -90.23775644504421, -85.69092111517357, -85.61107598368207),
            3: (-78.0000722704219, -99.74343545041665, -96.70122685148948, -101.11760901421258),
        },
    ),
}
