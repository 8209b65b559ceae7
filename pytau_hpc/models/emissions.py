"""What the data say about their states, for each kind of emission: estimates, and how likely each bin is in each state.

Plain numpy, maximum likelihood with just enough added that nothing is zero or infinite. The densities that are fitted
are in the models; these are for finding places to start from (`segmentation`, `starts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ABOVE_ZERO = (
    0.01  # counts per bin; PyTau adds it to its prior means, so that silent neurons have one
)


def segment_means(data: np.ndarray, n_states: int, *, equal: bool = False) -> np.ndarray:
    """Mean of each of `n_states` nearly equal stretches of bins.

    Parameters
    ----------
    data : array, shape (…, bin)
    equal : leave out the last bin of stretches that are longer than others, as PyTau's models of all tastes do

    Returns
    -------
    float array, shape (…, state)
    """
    parts = np.array_split(np.asarray(data, dtype=np.float64), n_states, axis=-1)
    if equal:
        parts = [part[..., : parts[-1].shape[-1]] for part in parts]
    return np.stack([part.mean(axis=-1) for part in parts], axis=-1)


@dataclass(frozen=True)
class PoissonStates:
    """Counts, int array of shape (trial, neuron, bin); one rate per neuron and state."""

    counts: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        n_trials, n_neurons, n_bins = self.counts.shape
        return n_trials, n_neurons, n_bins

    def estimate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"lambda": _means(self.counts, weights) + ABOVE_ZERO}

    def log_density(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        rates = parameters["lambda"]  # (neuron, state)
        return np.matmul(np.log(rates).T, self.counts) - rates.sum(axis=0)[:, None]


@dataclass(frozen=True)
class GaussianStates:
    """Real values, float array of shape (trial, dimension, bin); one mean per dimension and state, one sd each."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        n_trials, n_dimensions, n_bins = self.values.shape
        return n_trials, n_dimensions, n_bins

    def estimate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        mu = _means(self.values, weights)
        residual = self.values - np.matmul(mu, weights)
        floor = 1e-3 * (self.values.std() or 1.0)  # a series that fits perfectly still needs an sd
        return {"mu": mu, "sigma": np.sqrt((residual**2).mean(axis=(0, 2))) + floor}

    def log_density(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        mu, sigma = parameters["mu"], parameters["sigma"]
        sigma = np.broadcast_to(sigma.reshape(len(mu), -1), mu.shape)
        precision = sigma**-2
        squares = np.matmul(precision.T, self.values**2)
        products = np.matmul((mu * precision).T, self.values)
        constant = 0.5 * (mu**2 * precision).sum(axis=0) + np.log(sigma).sum(axis=0)
        return products - 0.5 * squares - constant[:, None]


@dataclass(frozen=True)
class GaussianVarStates(GaussianStates):
    """The same with an sd per dimension and state."""

    def estimate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        common = super().estimate(weights)
        mu, sigma = common["mu"], common["sigma"][:, None]
        squares = (self.values - np.matmul(mu, weights)) ** 2
        bins = weights.sum(axis=(0, 2))
        # As if each state had one more bin, with the common variance: a state of one bin has an sd, too, and is not
        # infinitely likely.
        variance = np.matmul(squares, weights.swapaxes(1, 2)).sum(axis=0) + sigma**2
        return {"mu": mu, "sigma": np.sqrt(variance / (bins + 1))}


@dataclass(frozen=True)
class CategoricalStates:
    """Categories 0, 1, …, int array of shape (trial, bin); the probability of each in each state."""

    categories: np.ndarray
    n_categories: int

    @property
    def shape(self) -> tuple[int, int, int]:
        n_trials, n_bins = self.categories.shape
        return n_trials, 1, n_bins

    def estimate(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        is_category = self.categories[:, None, :] == np.arange(self.n_categories)[:, None]
        # One more of each: the posterior mean under a flat prior.
        seen = np.matmul(weights, is_category.swapaxes(1, 2)).sum(axis=0) + 1.0
        return {"p": seen / seen.sum(axis=-1, keepdims=True)}

    def log_density(self, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.log(parameters["p"])[:, self.categories].swapaxes(0, 1)


def _means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of each neuron in each state, shape (neuron, state); a state without bins gets the overall mean."""
    sums = np.matmul(values, weights.swapaxes(1, 2)).sum(axis=0)
    bins = weights.sum(axis=(0, 2))
    overall = values.mean(axis=(0, 2))[:, None]
    return np.where(bins > 0, sums / np.maximum(bins, 1), overall)
