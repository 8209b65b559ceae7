"""The log density of each model, written without PyMC: loops, scipy, and the definitions in the models' docstrings.

Each formula takes the data, the free values by the names of the random variables, the number of states and the model's
options, and returns the log density in the unconstrained space.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, log_softmax

Arrays = Mapping[str, np.ndarray]
Options = Mapping[str, Any]


def prior_means(data: np.ndarray, n_states: int) -> np.ndarray:
    """Shape (…, state)."""
    parts = np.array_split(data, n_states, axis=-1)
    return np.stack([part.mean(axis=-1) for part in parts], axis=-1)


def positive(free: np.ndarray) -> tuple[np.ndarray, float]:
    """A positive parameter whose logarithm is free, and the Jacobian's share."""
    return np.exp(free), float(free.sum())


def unit(free: np.ndarray) -> tuple[np.ndarray, float]:
    """A parameter in (0, 1) whose log odds are free, and the Jacobian's share."""
    value = expit(free)
    return value, float(np.log(value * (1 - value)).sum())


def simplex(free: np.ndarray) -> tuple[np.ndarray, float]:
    """Probabilities (last axis) of which the free values are the logarithms, minus their mean, but for the last one."""
    logs = log_softmax(np.append(free, -free.sum(axis=-1, keepdims=True), axis=-1), axis=-1)
    n = logs.shape[-1]
    return np.exp(logs), float(logs.sum() + n_rows(logs) * np.log(n))


def n_rows(array: np.ndarray) -> int:
    return int(np.prod(array.shape[:-1]))


def changepoint_prior(
    free: Arrays, hyperprior: Any = stats.halfcauchy, scale: float = 3.0
) -> tuple[np.ndarray, float]:
    """`tau_latent` on (0, 1), and the log density of it and of the parameters of its prior."""
    a, a_jacobian = positive(free["a_tau"])
    b, b_jacobian = positive(free["b_tau"])
    latent, jacobian = unit(free["tau_latent"])
    logp = (
        hyperprior.logpdf(a, scale=scale).sum()
        + hyperprior.logpdf(b, scale=scale).sum()
        + stats.beta.logpdf(latent, a, b).sum()
    )
    return latent, float(logp + a_jacobian + b_jacobian + jacobian)


def weights(latent: np.ndarray, n_bins: int, last: int | None = None) -> np.ndarray:
    """One trial's share of each state in each bin, shape (state, bin), by its definition."""
    return weights_at(np.sort(latent) * (n_bins - 1 if last is None else last), n_bins)


def weights_at(tau: np.ndarray, n_bins: int, slope: float = 1.0) -> np.ndarray:
    n_states = len(tau) + 1
    found = np.ones((n_states, n_bins))
    for state in range(n_states):
        for time in range(n_bins):
            if state > 0:
                found[state, time] *= expit(slope * (time - tau[state - 1]))
            if state < n_states - 1:
                found[state, time] *= 1 - expit(slope * (time - tau[state]))
    return found


def sticks(free: Arrays, n_bins: int) -> tuple[np.ndarray, float]:
    """Changepoints of one trial or several, shape (…, changepoint), and the log density of what they come from."""
    a, a_jacobian = positive(free["a_gamma"])
    b, b_jacobian = positive(free["b_gamma"])
    alpha, alpha_jacobian = positive(free["alpha"])
    beta, jacobian = unit(free["beta"])
    logp = stats.gamma.logpdf(a, 10.0) + stats.gamma.logpdf(b, 1.5)
    logp += stats.gamma.logpdf(alpha, a, scale=1 / b) + stats.beta.logpdf(beta, 1.0, alpha).sum()
    lengths = np.empty_like(beta)
    left = np.ones(beta.shape[:-1])
    for state in range(beta.shape[-1]):
        lengths[..., state] = left * beta[..., state]
        left = left * (1 - beta[..., state])
    lengths *= n_bins / lengths.sum(axis=-1, keepdims=True)
    return lengths.cumsum(axis=-1)[..., :-1], float(
        logp + a_jacobian + b_jacobian + alpha_jacobian + jacobian
    )


def single_taste_poisson(data: np.ndarray, free: Arrays, n_states: int, options: Options) -> float:
    mean = prior_means(data, n_states).mean(axis=0) + 0.01
    rates, logp = positive(free["lambda"])
    logp += stats.expon.logpdf(rates, scale=mean).sum()
    latent, of_changepoints = changepoint_prior(free)
    for trial in range(len(data)):
        expected = rates @ weights(latent[trial], data.shape[-1])
        logp += stats.poisson.logpmf(data[trial], expected).sum()
    return float(logp + of_changepoints)


def varsig(data: np.ndarray, free: Arrays, n_states: int, slopes: np.ndarray) -> float:
    mean = prior_means(data, n_states).mean(axis=0) + 0.01
    first, logp = positive(free["state0"])
    logp += stats.expon.logpdf(first, scale=mean.mean()).sum()
    logp += stats.norm.logpdf(free["lambda_diff"], 0.0, 10.0).sum()
    latent, of_changepoints = changepoint_prior(free, scale=10.0)
    bins = np.arange(data.shape[-1])
    for trial, of_trial in enumerate(data):
        tau = np.sort(latent[trial]) * bins[-1]
        for neuron, counted in enumerate(of_trial):
            # The first rate is in the sum once for every change.
            expected = sum(
                first[neuron]
                + free["lambda_diff"][neuron, change] / (1 + np.exp(-slope * (bins - tau[change])))
                for change, slope in enumerate(slopes)
            )
            logp += stats.poisson.logpmf(counted, np.maximum(expected, 0.01)).sum()
    return float(logp + of_changepoints)


def single_taste_poisson_varsig(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    of_slopes = stats.norm.logpdf(free["sig_b"], -1.0, 2.0).sum()
    return float(of_slopes + varsig(data, free, n_states, np.exp(free["sig_b"])))


def single_taste_poisson_varsig_fixed(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    return varsig(data, free, n_states, np.full(n_states - 1, 5.8889 / options["inds_span"]))


def single_taste_poisson_dirichlet(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    mean = prior_means(data, n_states).mean(axis=0) + 0.01
    rates, logp = positive(free["lambda"])
    logp += stats.expon.logpdf(rates, scale=mean).sum()
    tau, of_sticks = sticks(free, data.shape[-1])
    for trial in range(len(data)):
        expected = rates @ weights_at(tau[trial], data.shape[-1])
        logp += stats.poisson.logpmf(data[trial], expected).sum()
    return float(logp + of_sticks)


def trial_switch(data: np.ndarray, free: Arrays, with_tastes: bool) -> float:
    """Data of shape (taste, trial, neuron, bin); without tastes, the free values have no axis of them."""
    n_tastes, n_trials, _, n_bins = data.shape
    names = ["nrn_lambda", *(["taste_lambda"] if with_tastes else []), "trial_lambda"]
    logp, values = 0.0, {}
    for name in [*names, "state_lambda"]:
        values[name], jacobian = positive(free[name])
        logp += jacobian
    logp += stats.expon.logpdf(values["nrn_lambda"], scale=0.1).sum()
    if with_tastes:
        for taste in range(n_tastes):
            logp += stats.expon.logpdf(
                values["taste_lambda"][taste], scale=1 / values["nrn_lambda"]
            ).sum()
    above = values[names[-2]][..., None]
    logp += stats.expon.logpdf(values["trial_lambda"], scale=1 / above).sum()
    above = values["trial_lambda"][..., None]
    logp += stats.expon.logpdf(values["state_lambda"], scale=1 / above).sum()

    latent, of_changepoints = changepoint_prior(free)
    switch, jacobian = unit(free["tau_trial_latent"])  # a flat prior
    share = weights(switch, n_trials, last=n_trials)  # (component, trial)
    rates = values["state_lambda"]
    if not with_tastes:
        latent, rates = latent[None], rates[None]
    for taste in range(n_tastes):
        for trial in range(n_trials):
            of_trial = sum(
                share[component, trial] * rates[taste, :, component]
                for component in range(len(share))
            )
            expected = of_trial @ weights(latent[taste, trial], n_bins, last=n_bins)
            logp += stats.poisson.logpmf(data[taste, trial], expected).sum()
    return float(logp + of_changepoints + jacobian)


def single_taste_poisson_trial_switch(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    return trial_switch(data[None], free, with_tastes=False)


def all_taste_poisson_trial_switch(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    return trial_switch(data, free, with_tastes=True)


def all_taste_poisson(
    data: np.ndarray, free: Arrays, n_states: int, options: Options, slope: float = 1.0
) -> float:
    # The stretches of the means are all as long as the shortest one.
    parts = np.array_split(data, n_states, axis=-1)
    length = min(part.shape[-1] for part in parts)
    means = np.array([part[..., :length].mean(axis=(0, 1, 3)) for part in parts])
    neurons, jacobian = positive(free["lambda_nrn"])
    logp = jacobian + stats.expon.logpdf(neurons, scale=means.mean(axis=0) + 0.01).sum()
    states, jacobian = positive(free["lambda_state"])
    logp += jacobian + stats.expon.logpdf(states, scale=1 / neurons).sum()
    rates, jacobian = positive(free["lambda"])
    logp += jacobian + stats.expon.logpdf(rates, scale=1 / states).sum()
    latent, of_changepoints = changepoint_prior(free, stats.halfnorm)
    n_bins = data.shape[-1]
    for taste, of_taste in enumerate(data):
        for trial, counted in enumerate(of_taste):
            tau = np.sort(latent[taste, trial]) * (n_bins - 1)
            expected = rates[taste].T @ weights_at(tau, n_bins, slope)
            logp += stats.poisson.logpmf(counted, expected).sum()
    return float(logp + of_changepoints)


def all_taste_poisson_varsig_fixed(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    return all_taste_poisson(data, free, n_states, options, 5.8889 / options["inds_span"])


def poisson_changepoint_1d(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    rates, logp = positive(free["lambda"])
    logp += stats.expon.logpdf(rates, scale=prior_means(data, n_states) + 0.01).sum()
    latent, of_changepoints = changepoint_prior(free)
    expected = rates @ weights(latent, len(data))
    return float(logp + of_changepoints + stats.poisson.logpmf(data, expected).sum())


def gaussian_changepoint_mean_2d(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    sigma, logp = positive(free["sigma"])
    logp += stats.halfcauchy.logpdf(sigma, scale=3).sum()
    logp += stats.norm.logpdf(free["mu"], prior_means(data, n_states) + 0.01, 1.0).sum()
    latent, of_changepoints = changepoint_prior(free)
    expected = free["mu"] @ weights(latent, data.shape[-1])
    logp += stats.norm.logpdf(data, expected, sigma[:, None]).sum()
    return float(logp + of_changepoints)


def gaussian_changepoint_mean_var_2d(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    sigma, logp = positive(free["sigma"])
    logp += stats.halfcauchy.logpdf(sigma, scale=3).sum()
    logp += stats.norm.logpdf(free["mu"], prior_means(data, n_states) + 0.01, 1.0).sum()
    latent, of_changepoints = changepoint_prior(free)
    share = weights(latent, data.shape[-1])
    logp += stats.norm.logpdf(data, free["mu"] @ share, sigma @ share).sum()
    return float(logp + of_changepoints)


def gaussian_changepoint_mean_dirichlet(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    sigma, logp = positive(free["sigma"])
    logp += stats.halfcauchy.logpdf(sigma, scale=data.std(axis=-1)).sum()
    logp += stats.norm.logpdf(free["lambda"], prior_means(data, n_states) + 0.01, 10.0).sum()
    tau, of_sticks = sticks(free, data.shape[-1])
    expected = free["lambda"] @ weights_at(tau, data.shape[-1])
    logp += stats.norm.logpdf(data, expected, sigma[:, None]).sum()
    return float(logp + of_sticks)


def categorical_changepoint_2d(
    data: np.ndarray, free: Arrays, n_states: int, options: Options
) -> float:
    p, logp = simplex(free["p"])  # (state, category)
    logp += sum(stats.dirichlet.logpdf(row / row.sum(), np.ones(p.shape[1])) for row in p)
    latent, of_changepoints = changepoint_prior(free)
    for trial, categories in enumerate(data):
        share = weights(latent[trial], data.shape[-1])
        for time, category in enumerate(categories):
            mixture = share[:, time] @ p
            logp += np.log(mixture[category] / mixture.sum())
    return float(logp + of_changepoints)
