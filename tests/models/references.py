"""What each model's log density must be: a formula written without PyMC, and numbers that PyTau itself gave.

The numbers were computed once with PyTau's own classes (github.com/abuzarmahmood/pytau at 57b517f) at
points that anyone can make again: PyMC's initial point, and three displacements of it by sine waves. (Its two models
of fixed sharpness ask PyMC for test values, which are gone; for them `x.tag.test_value.shape` was read as `x.shape`.)

A model that is added gets an entry here; the contract tests look for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.models import formulas
from tests.models.formulas import Arrays, Options


@dataclass(frozen=True)
class Case:
    """PyTau's log density at the initial point and at `displaced` 0, 1 and 2; None where it has none."""

    n_states: int
    pytau: Sequence[float] | None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """A small data set, the density as a formula, and PyTau's numbers.

    formula : (data, free values by variable name, number of states, options) → log density in the unconstrained space
    last : the largest `tau`, counted from the number of bins
    """

    data: np.ndarray
    formula: Callable[[np.ndarray, Arrays, int, Options], float]
    cases: Sequence[Case]
    last: int = -1


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


REFERENCES: Mapping[str, Reference] = {
    "single_taste_poisson": Reference(
        data=counts(3, 2, 12),
        formula=formulas.single_taste_poisson,
        cases=(
            Case(
                2,
                (
                    -133.96988296184495,
                    -172.43470908907446,
                    -165.43845309163746,
                    -163.84626247947625,
                ),
            ),
            Case(
                3,
                (-140.07318801790197, -166.3505362351209, -167.21705326576432, -172.9087353508032),
            ),
        ),
    ),
    "single_taste_poisson_varsig": Reference(
        data=counts(3, 2, 12),
        formula=formulas.single_taste_poisson_varsig,
        cases=(
            Case(
                2, (-138.11377506074118, -186.997188375317, -256.5699851692047, -248.62846525697665)
            ),
            Case(
                3,
                (-179.00668598307573, -334.2406120620574, -287.16321940506344, -182.10726096876573),
            ),
        ),
    ),
    "single_taste_poisson_varsig_fixed": Reference(
        data=counts(3, 2, 12),
        formula=formulas.single_taste_poisson_varsig_fixed,
        cases=(
            Case(
                2,
                (-136.2609789873075, -213.34203439285002, -185.96457691462473, -278.6036224947081),
            ),
            Case(
                3,
                (-175.63951510754163, -340.4660580385578, -331.9949810244876, -284.41120295567913),
            ),
            Case(
                3,
                (-175.70842765674377, -340.5447775221793, -331.92859946705124, -284.48529096538095),
                {"inds_span": 2.5},
            ),
        ),
    ),
    "single_taste_poisson_dirichlet": Reference(
        data=counts(3, 2, 12),
        formula=formulas.single_taste_poisson_dirichlet,
        cases=(
            Case(
                2,
                (
                    -136.19625068524823,
                    -174.39656861190218,
                    -188.96570361274928,
                    -177.27586043515464,
                ),
            ),
            Case(
                4,
                (
                    -146.31616796868784,
                    -175.75831641267746,
                    -194.98823172633087,
                    -187.85548971107787,
                ),
            ),
        ),
        last=0,
    ),
    "single_taste_poisson_trial_switch": Reference(
        data=counts(4, 2, 12),
        formula=formulas.single_taste_poisson_trial_switch,
        cases=(
            Case(
                2, (-523.3146057996128, -494.6378255607364, -536.8396115630267, -564.0200454133009)
            ),
            Case(
                3, (-519.4903657675576, -518.7306656728999, -525.215297284905, -520.7942897895565)
            ),
            Case(
                3,
                (-515.53522718838, -542.3059214697896, -533.5756342443392, -498.10475767119317),
                {"switch_components": 3},
            ),
        ),
        last=0,
    ),
    "all_taste_poisson": Reference(
        data=counts(2, 3, 2, 13),
        formula=formulas.all_taste_poisson,
        cases=(
            Case(
                2,
                (-294.14713677017977, -375.2464277198674, -360.14592329425443, -363.3533280698608),
            ),
            Case(
                3,
                (-310.09664054423945, -401.31443316969825, -377.3832423934011, -370.28997507774375),
            ),
        ),
    ),
    "all_taste_poisson_varsig_fixed": Reference(
        data=counts(2, 3, 2, 13),
        formula=formulas.all_taste_poisson_varsig_fixed,
        cases=(
            Case(
                2,
                (-293.96372978384403, -398.8043902262101, -376.93025445846786, -379.4594540747231),
            ),
            Case(
                3, (-309.6539527098563, -414.8704677497671, -398.54631625559915, -390.7088082968761)
            ),
            Case(
                3,
                (-309.8376471888904, -410.1753010596979, -389.4868447217064, -383.28885139775923),
                {"inds_span": 2.5},
            ),
        ),
    ),
    "all_taste_poisson_trial_switch": Reference(
        data=counts(2, 4, 2, 11),
        formula=formulas.all_taste_poisson_trial_switch,
        cases=(
            Case(
                2,
                (-1244.1247238370886, -1268.72507251606, -1258.0000659355248, -1655.1192527668597),
            ),
            Case(
                3,
                (-1391.7652556427606, -1806.2508915603162, -1752.84918556217, -1641.6839253624294),
            ),
            Case(
                3,
                (-1551.1465264218023, -1959.5640530255553, -2048.7764379385576, -2201.128823909403),
                {"switch_components": 3},
            ),
        ),
        last=0,
    ),
    "gaussian_changepoint_mean_2d": Reference(
        data=3 * wave((2, 14), 0.5),
        formula=formulas.gaussian_changepoint_mean_2d,
        cases=(
            Case(
                2, (-72.37856444019378, -90.23775644504421, -85.69092111517357, -85.61107598368207)
            ),
            Case(
                3, (-78.0000722704219, -99.74343545041665, -96.70122685148948, -101.11760901421258)
            ),
        ),
    ),
    "gaussian_changepoint_mean_var_2d": Reference(
        data=3 * wave((2, 14), 0.5),
        formula=formulas.gaussian_changepoint_mean_var_2d,
        cases=(
            Case(
                2, (-74.66802424775145, -86.89263177337072, -86.5652166984287, -87.84451784559363)
            ),
            Case(
                3, (-82.63518587199015, -99.91953828266256, -97.63781718232528, -97.20703331651727)
            ),
        ),
    ),
    "gaussian_changepoint_mean_dirichlet": Reference(
        data=3 * wave((2, 14), 0.5),
        formula=formulas.gaussian_changepoint_mean_dirichlet,
        cases=(
            Case(
                2,
                (-78.17668839934215, -112.05352586550242, -104.83501520067972, -114.7560897161195),
            ),
            Case(
                4,
                (-93.22692629307446, -127.25568179243854, -120.74936266202033, -128.4902824370539),
            ),
        ),
        last=0,
    ),
    "poisson_changepoint_1d": Reference(
        data=counts(15),
        formula=formulas.poisson_changepoint_1d,
        cases=(
            Case(
                2, (-30.966997119493847, -40.3474447731599, -41.01627607828016, -39.29878429851457)
            ),
            Case(
                4, (-40.517675157478784, -48.42594548142486, -59.947342560034876, -59.9737210039203)
            ),
        ),
    ),
    "categorical_changepoint_2d": Reference(
        data=counts(3, 12) % 4,
        formula=formulas.categorical_changepoint_2d,
        cases=(
            Case(
                2, (-59.20336114122949, -75.33461838583062, -71.91189277677887, -64.34421701066097)
            ),
            # PyTau's probabilities sum to more than one for three states and more: minus infinity.
            Case(3, None),
        ),
    ),
}
