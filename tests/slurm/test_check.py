"""The ordeal's judge sees what it is there to see: a good sweep passes, each kind of damage is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.slurm.ordeal.check import check
from tests.toy_sweep import Toy, toy

__all__ = ["toy"]


def wrong(sweep: Toy, trace: Path) -> str:
    scratch = Path(sweep.environment["PYTAU_HPC_SCRATCH"])
    return "\n".join(check(sweep.path, trace=trace, scratch=scratch, interval=2).wrong)


def _a_result_is_lost(sweep: Toy, trace: Path) -> None:
    sweep.results()[0].unlink()


def _a_result_is_another_ones(sweep: Toy, trace: Path) -> None:
    first, second, *_ = sweep.results()
    shutil.copy(first, second)


def _a_point_succeeded_twice(sweep: Toy, trace: Path) -> None:
    journal = next((sweep.path / "journal").rglob("*.jsonl"))
    shutil.copy(journal, journal.with_name("77.r1.jsonl"))


def _a_record_is_gone(sweep: Toy, trace: Path) -> None:
    journal = next((sweep.path / "journal").rglob("*.jsonl"))
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([lines[0], *lines[2:]]))


def _iterations_were_computed_twice(sweep: Toy, trace: Path) -> None:
    path = next(trace.iterdir())
    with path.open("a") as file:
        file.writelines(f"1 {iteration} 9e9\n" for iteration in range(4))


def _two_computed_at_once(sweep: Toy, trace: Path) -> None:
    path = next(trace.iterdir())
    with path.open("a") as file:
        file.write("1 3 1.0\n")


def _something_is_left_over(sweep: Toy, trace: Path) -> None:
    (sweep.results()[0].parent / ".model_x.nc.tmp").touch()


DAMAGE: dict[str, Callable[[Toy, Path], None]] = {
    "has 0 results": _a_result_is_lost,
    "is the result of": _a_result_is_another_ones,
    "succeeded 2 times": _a_point_succeeded_twice,
    "has gaps": _a_record_is_gone,
    "4 iterations twice": _iterations_were_computed_twice,
    "by two processes at once": _two_computed_at_once,
    "left over": _something_is_left_over,
}


def test_every_kind_of_damage_is_named(toy, tmp_path: Path):
    """Nothing is wrong with a sweep that ran; after each damage, that is."""
    sweep = toy(sessions=1, iterations=4)
    trace = tmp_path / "trace"
    trace.mkdir()
    sweep.environment["PYTAU_TOY_TRACE"] = str(trace)
    sweep.run("submit", "--yes")
    assert wrong(sweep, trace) == ""

    for number, (words, damage) in enumerate(DAMAGE.items()):
        copy = Toy(tmp_path / f"{number}", sweep.environment)
        shutil.copytree(sweep.study, copy.study)
        noted = shutil.copytree(trace, tmp_path / f"{number}.trace")
        damage(copy, noted)
        assert words in wrong(copy, noted)
