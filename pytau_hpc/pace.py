"""How often a ledger is looked at again and again: by the bar, by ``--wait`` and ``--watch``, by ``logs -f``. Pure."""

from __future__ import annotations

#: To read a huge ledger takes time that belongs to the fits: at most this share of it.
_SHARE = 0.05
#: And however long a look took, the next one comes after this.
_LONGEST_PAUSE_S = 60.0


def pause_s(spent_s: float, least_s: float) -> float:
    """How long not to look, after a look that took so long; some of that may have been waiting for somebody else."""
    return min(max(least_s, spent_s / _SHARE), max(least_s, _LONGEST_PAUSE_S))
