"""One point of a real run: what is in its log, and who follows it."""

from __future__ import annotations

import signal
import subprocess

from pytau_hpc import logs
from pytau_hpc.sweep.run_dir import SweepDir


def test_points_that_failed_in_one_task_have_each_their_own_traceback(toy):
    """The fit marks where a point begins in the log, the worker where a traceback does."""
    sweep = toy(sessions=1, points_per_task=8, more="  fail: [never, exception]")
    sweep.run("submit", ok=(3,))
    place = SweepDir(sweep.path)
    ids = sweep.rows("SELECT point_id, fail FROM points")

    outputs = {}
    for point_id, fail in ids:
        entry = logs.chosen(logs.look(place, point_id))
        outputs[point_id, fail] = logs.excerpt(logs.files_of(place, entry).log, point_id, None)

    assert len(ids) == 8
    for (point_id, fail), output in outputs.items():
        if fail == "never":
            assert output is None
        else:
            assert output.lines[0].startswith(f"── {point_id} ")
            assert output.lines[-1] == "RuntimeError: the toy was told to fail"
            assert sum(line.startswith("Traceback") for line in output.lines) == 1
    [log] = {output.path for output in outputs.values() if output is not None}
    text = log.read_text()
    assert all(f"── {point_id} " in text for point_id, _ in ids)


def test_a_running_fit_is_followed_until_somebody_has_seen_enough(toy, eventually):
    """Ctrl-C ends the looking with 130, and not the fit."""
    sweep = toy(sessions=1, iterations=600, sleep_s=0.1, checkpoint_s=0.1, points_per_task=8)
    driver = sweep.start("submit", "-j", "1")
    try:
        eventually(lambda: "running" in sweep.counts(), "a fit that runs")
        [(point,)] = sweep.rows("SELECT point_id FROM points WHERE state = 'running'")
        looking = subprocess.Popen(
            sweep.command("logs", point, "-f"),
            cwd=sweep.study,
            env=sweep.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        lines = [looking.stdout.readline()]
        while "checkpoint at" not in lines[-1]:
            assert lines[-1], "it ended by itself"
            lines.append(looking.stdout.readline())
        looking.send_signal(signal.SIGINT)
        rest, _ = looking.communicate(timeout=60)
        assert looking.returncode == 130
        assert driver.poll() is None
    finally:
        driver.send_signal(signal.SIGINT)
        driver.communicate(timeout=60)

    assert f"{point[:8]} · " in lines[0]
    assert "Traceback" not in rest
