"""Find what was measured of fits like those of some points: in their own sweep, then in others of the study.

Other sweeps are only opened where the own one leaves something open. Estimates are made of it in `measure`. Called
by `submit` and `plan_cost`.
"""

from __future__ import annotations

from collections.abc import Iterable

from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.ledger.measured import Measurements, measurements, of_study, of_sweep
from pytau_hpc.measure import Measured
from pytau_hpc.sweep.fit_class import Classifier, classes_of
from pytau_hpc.sweep.manifest import Manifest
from pytau_hpc.sweep.point import Point
from pytau_hpc.sweep.run_dir import SweepDir


def known_use(
    points: Iterable[Point],
    place: SweepDir,
    *,
    ledger: Ledger | None = None,
    manifest: Manifest | None = None,
    executor: str | None = None,
) -> list[Measurements]:
    """What was measured that says something about these points, for `Measured.of`.

    Parameters
    ----------
    place : their sweep, which need not be there yet
    ledger, manifest : of their sweep, where they are open already; else its files are read as they lie there
    executor : under which the points will run: what others say about time does not count
    """
    if ledger is not None and manifest is not None:
        own: Measurements | None = measurements(ledger, classes_of(manifest))
    else:
        own = of_sweep(place)
    found = [] if own is None else [own]
    class_of = Classifier()
    # One point of each class: the others would get the same answer.
    of_each = {class_of(point): point for point in points}
    measured = Measured.of(found, executor=executor)
    open_ = {of.kind for of, point in of_each.items() if not measured.knows(point)}
    return [*found, *of_study(place.study, but=place.name, kinds=open_)] if open_ else found
