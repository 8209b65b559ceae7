"""What is lowered and compiled, how often, and with which of the compiler's options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytau_hpc.models import MODELS

jax_programs = pytest.importorskip("pytau_hpc.inference.jax_programs")


def test_a_model_is_lowered_once_for_all_shapes_and_compiled_once_for_each(monkeypatch):
    """What a task pays once it does not pay for every fit; and it does not keep everything for ever."""
    kind = MODELS["poisson_changepoint_1d"]
    counted = {"lower": 0, "compile": 0}
    for name in ("lower", "_compile"):
        original = getattr(jax_programs, name)

        def counting(*given: Any, original: Any = original, name: str = name.strip("_")) -> Any:
            counted[name] += 1
            return original(*given)

        monkeypatch.setattr(jax_programs, name, counting)
    monkeypatch.setattr(jax_programs, "MAX_SHAPES", 2)
    monkeypatch.setattr(jax_programs, "_structures", type(jax_programs._structures)())
    monkeypatch.setattr(jax_programs, "_executables", type(jax_programs._executables)())

    for n_bins in (8, 9, 8, 10, 8):
        jax_programs.programs_for(kind, kind.prepare(np.arange(n_bins) % 3), 2, {})

    # The third shape took the place of 9, since 8 was used after it.
    assert counted == {"lower": 1, "compile": 3}
    assert len(jax_programs._executables) == 2


def test_a_compiler_option_that_is_refused_is_left_out(monkeypatch):
    """Every jaxlib has options of its own; a fit must not depend on them."""
    monkeypatch.setattr(jax_programs, "_refused_options", set())
    monkeypatch.setattr(
        jax_programs,
        "COMPILER_OPTIONS",
        {"xla_no_such_option": True, "xla_cpu_enable_fast_math": False},
    )

    double = jax_programs.compiled(lambda x: 2 * x, np.ones(3))

    np.testing.assert_array_equal(double(np.ones(3)), [2.0, 2.0, 2.0])
    assert "xla_no_such_option" in jax_programs._refused_options
