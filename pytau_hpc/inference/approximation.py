"""The fitted distributions of PyMC's ADVI, and what is asked of them: the ELBO and draws, without a compiler.

Called by `advi_pymc` and `model_selection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytau_hpc.errors import NonFinite

Parts = Mapping[str, tuple[slice, tuple[int, ...]]]


@dataclass(frozen=True, kw_only=True)
class MeanField:
    """An independent normal distribution for each unconstrained parameter.

    mean, sd : shape (parameter,)
    parts : name of the value variable → its slice of the parameters and its shape
    """

    mean: np.ndarray
    sd: np.ndarray
    parts: Parts

    @property
    def log_volume(self) -> float:
        """Logarithm of the determinant of the map from standard normal numbers to parameters."""
        return float(np.log(self.sd).sum())

    def from_standard(self, standard: np.ndarray) -> np.ndarray:
        return self.mean + self.sd * standard

    def point(self, z: np.ndarray) -> dict[str, np.ndarray]:
        return {name: z[where].reshape(shape) for name, (where, shape) in self.parts.items()}


@dataclass(frozen=True, kw_only=True)
class FullRank:
    """A normal distribution of all unconstrained parameters together.

    mean : shape (parameter,)
    factor : lower triangular with a positive diagonal, shape (parameter, parameter); the covariance is
        ``factor @ factor.T``
    parts : as `MeanField`
    """

    mean: np.ndarray
    factor: np.ndarray
    parts: Parts

    @property
    def log_volume(self) -> float:
        return float(np.log(np.diagonal(self.factor)).sum())

    def from_standard(self, standard: np.ndarray) -> np.ndarray:
        return self.mean + self.factor @ standard

    def point(self, z: np.ndarray) -> dict[str, np.ndarray]:
        return {name: z[where].reshape(shape) for name, (where, shape) in self.parts.items()}


Approximation = MeanField | FullRank


def approximation_of(inference: Any) -> Approximation:
    """What PyMC's inference object has fitted.

    Raises
    ------
    NonFinite : its parameters are not finite
    """
    group = inference.approx.groups[0]
    values = {
        name: np.asarray(shared.get_value(), dtype=np.float64)
        for name, shared in group.params_dict.items()
    }
    if not all(np.isfinite(value).all() for value in values.values()):
        raise NonFinite("the variational parameters are not finite")
    parts = {name: (entry[1], tuple(entry[2])) for name, entry in group.ordering.items()}
    mean = values["mu"]
    if "rho" in values:
        return MeanField(mean=mean, sd=np.logaddexp(0.0, values["rho"]), parts=parts)
    factor = np.zeros((mean.size, mean.size))
    factor[np.tril_indices(mean.size)] = values["L_tril"]
    # PyMC keeps the diagonal before softplus, as it does the scales of a mean-field fit.
    np.fill_diagonal(factor, np.logaddexp(0.0, np.diagonal(factor)))
    return FullRank(mean=mean, factor=factor, parts=parts)


def elbo_of(
    model: Any, fitted: Approximation, rng: np.random.Generator, n_draws: int = 2000
) -> tuple[float, float]:
    """Evidence lower bound and its standard error, in nats, from fresh draws of the fitted distribution.

    The mean of log p - log q over draws: where q is close to p the two noises cancel, so it is far more precise than
    log p with q's exact entropy.
    """
    logp = interpreted(model, [model.logp()])
    standard = rng.standard_normal((n_draws, fitted.mean.size))
    log_q = (
        -0.5 * (standard**2).sum(axis=1)
        - fitted.log_volume
        - 0.5 * fitted.mean.size * np.log(2 * np.pi)
    )
    log_p = np.array([float(logp(fitted.point(fitted.from_standard(row)))[0]) for row in standard])
    terms = log_p - log_q
    if not np.isfinite(terms).all():
        bad = int((~np.isfinite(terms)).sum())
        raise NonFinite(
            f"the log density is not finite at {bad} of {n_draws} draws of the fitted posterior"
        )
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(n_draws))


def draws_of(
    model: Any,
    names: Sequence[str],
    fitted: Approximation,
    n_draws: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Draws of the named variables, each of shape (draw, …); deterministic ones such as `tau` included."""
    known = {variable.name: variable for variable in model.unobserved_value_vars}
    values = interpreted(model, [known[name] for name in names])
    rows: list[list[np.ndarray]] = [[] for _ in names]
    for _ in range(n_draws):
        z = fitted.from_standard(rng.standard_normal(fitted.mean.size))
        for row, value in zip(rows, values(fitted.point(z)), strict=True):
            row.append(np.asarray(value, dtype=np.float64))
    draws = {name: np.stack(row) for name, row in zip(names, rows, strict=True)}
    for name, array in draws.items():
        if not np.isfinite(array).all():
            raise NonFinite(f"draws of {name} are not finite")
    return draws


def interpreted(
    model: Any, outputs: Sequence[Any]
) -> Callable[[Mapping[str, np.ndarray]], Sequence[Any]]:
    """A function from a point to the values of `outputs`, without a compiler.

    A few thousand evaluations are cheaper than building C code for them. The interpreter runs fused nodes and casts
    element by element; so there is no fusion, and the data become constants whose casts are done once.
    """
    from pytensor.compile.mode import Mode
    from pytensor.compile.sharedvalue import SharedVariable
    from pytensor.graph.replace import clone_replace
    from pytensor.graph.traversal import graph_inputs
    from pytensor.tensor import constant

    data = {
        v: constant(v.get_value()) for v in graph_inputs(outputs) if isinstance(v, SharedVariable)
    }
    return model.compile_fn(
        clone_replace(list(outputs), replace=data),
        inputs=model.value_vars,
        mode=Mode(linker="py", optimizer="fast_run").excluding("fusion", "inplace"),
        on_unused_input="ignore",  # `tau` does not need the rates
    )
