"""``python -m pytau_hpc``."""

from __future__ import annotations

import sys

from pytau_hpc.cli import main

if __name__ == "__main__":
    sys.exit(main())
