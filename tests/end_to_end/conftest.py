"""The fixture `toy`, for the tests of this folder."""

from __future__ import annotations

from tests.toy_sweep import toy

__all__ = ["toy"]
