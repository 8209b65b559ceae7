"""The inference methods, by name. Importing this imports neither numpy nor PyMC nor JAX.

To add a method: write one module with a `KIND`, and add one line here. The contract tests find it by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytau_hpc.inference import advi, nuts
from pytau_hpc.inference.method import MethodKind
from pytau_hpc.plugins import Registry

METHODS: Mapping[str, MethodKind] = Registry(
    "METHODS",
    {
        "advi": advi.KIND,
        "nuts": nuts.KIND,
    },
)

__all__ = ["METHODS", "MethodKind"]
