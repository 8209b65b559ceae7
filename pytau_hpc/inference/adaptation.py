"""How a sampler learns its step size and the scales of the parameters while it tunes. Plain numpy.

Scales come from windows that double in length, between a first stretch that finds the typical set and a last one that
settles the step size, as in Stan (reference manual, "Automatic parameter tuning"). What is taken for a scale is
nutpie's (Seyboldt, Carlson & Carpenter 2026): the spread of the draws over the spread of their gradients. For a normal
that is its variance; where a parameter has long tails it follows the narrow middle that limits the step. On 30 trials
of 7 neurons it makes trajectories a quarter as long as variances do. The step size follows by dual averaging (Hoffman &
Gelman 2014, JMLR 15:1593, §3.2) all the time, as in PyMC: begun anew with each window, as in Stan, it came out a third
too small. Called by `nuts_jax`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

FIRST, WINDOW, LAST = 75, 25, 50
GAMMA, T0, KAPPA = 0.05, 10.0, 0.75


def first_stretch(tune: int) -> int:
    """How many draws come before the first window."""
    return FIRST if tune >= FIRST + WINDOW + LAST else int(0.15 * tune)


def window_ends(tune: int) -> list[int]:
    """Draws (from 1) after which the variances are set anew; none where there are fewer than 20 draws."""
    if tune < 20:
        return []
    long_enough = tune >= FIRST + WINDOW + LAST
    last = LAST if long_enough else int(0.1 * tune)
    ends, end = [], first_stretch(tune)
    window = WINDOW if long_enough else tune - last - end
    while end < tune - last:
        # A window that would leave less than twice its length takes the rest.
        end = end + window if end + 3 * window <= tune - last else tune - last
        ends.append(end)
        window *= 2
    return ends


@dataclass(kw_only=True)
class Adaptation:
    """What is learned so far. Everything in it is a number or an array: see `to_arrays`.

    Attributes
    ----------
    inverse_mass : squared scales of the parameters, shape (parameter,)
    mean, squares : of the draws and of their gradients in the window that runs, shape (2, parameter)
    log_step : logarithm of the step size in use; `log_step_mean` is its running average, used when tuning is over
    """

    tune: int
    target: float
    inverse_mass: np.ndarray
    log_step: float
    drawn: int = 0
    log_step_mean: float = 0.0
    centre: float = field(init=False)
    shortfall: float = 0.0
    count: int = 0
    seen: int = 0
    mean: np.ndarray = field(init=False)
    squares: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.mean = np.zeros((2, self.inverse_mass.size))
        self.squares = np.zeros_like(self.mean)
        self.centre = self.log_step + float(np.log(10.0))

    @classmethod
    def fresh(cls, size: int, *, tune: int, target: float) -> Adaptation:
        """Unit variances, and PyMC's first guess of the step size."""
        return cls(
            tune=tune,
            target=target,
            inverse_mass=np.ones(size),
            log_step=float(np.log(0.25 / max(1, size) ** 0.25)),
        )

    @property
    def step_size(self) -> float:
        return float(np.exp(self.log_step))

    @property
    def tuning(self) -> bool:
        return self.drawn < self.tune

    def learn(self, z: np.ndarray, gradient: np.ndarray, accept: float) -> None:
        """Take in one draw of the tuning phase, with the gradient of the log density there."""
        self.drawn += 1
        self._learn_step(accept)
        ends = window_ends(self.tune)
        if ends and first_stretch(self.tune) < self.drawn <= ends[-1]:
            self._learn_scale(np.stack([z, gradient]))
            if self.drawn in ends:
                self._set_scale()
        if not self.tuning:
            self.log_step = self.log_step_mean

    def _learn_step(self, accept: float) -> None:
        self.count += 1
        share = 1.0 / (self.count + T0)
        self.shortfall = (1 - share) * self.shortfall + share * (self.target - accept)
        self.log_step = self.centre - np.sqrt(self.count) / GAMMA * self.shortfall
        share = self.count**-KAPPA
        self.log_step_mean = share * self.log_step + (1 - share) * self.log_step_mean

    def _learn_scale(self, both: np.ndarray) -> None:
        self.seen += 1
        away = both - self.mean
        self.mean = self.mean + away / self.seen
        self.squares = self.squares + away * (both - self.mean)

    def _set_scale(self) -> None:
        draws, gradients = self.squares
        usable = (draws > 0) & (gradients > 0) & np.isfinite(gradients)
        ratio = np.sqrt(draws / np.where(usable, gradients, 1.0))
        self.inverse_mass = np.where(usable, np.clip(ratio, 1e-10, 1e10), self.inverse_mass)
        self.seen = 0
        self.mean, self.squares = np.zeros_like(self.mean), np.zeros_like(self.squares)

    _NUMBERS: ClassVar = (
        "log_step",
        "drawn",
        "log_step_mean",
        "centre",
        "shortfall",
        "count",
        "seen",
    )
    _ARRAYS: ClassVar = ("inverse_mass", "mean", "squares")

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All of it for a checkpoint."""
        numbers = np.array([float(getattr(self, name)) for name in self._NUMBERS])
        return {"numbers": numbers, **{name: getattr(self, name) for name in self._ARRAYS}}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Go back to what `to_arrays` gave, bit for bit."""
        for name, value in zip(self._NUMBERS, arrays["numbers"].tolist(), strict=True):
            setattr(self, name, int(value) if name in ("drawn", "count", "seen") else value)
        for name in self._ARRAYS:
            setattr(self, name, np.array(arrays[name]))
