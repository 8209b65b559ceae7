# Four words. PYTHON may name another interpreter: make test PYTHON=python3.12
PYTHON ?= python

.PHONY: help check test slow docs
help:
	@echo "make check   style, format, types (needs the dev extra)"
	@echo "make test    the fast tests, and the SLURM tests where root can start a cluster"
	@echo "make slow    the long tests, and those on real recordings where they are found"
	@echo "make docs    what the pages promise: links lead somewhere, words of one machine are absent"

check:
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

slow:
	$(PYTHON) -m pytest -m "slow or realdata"

docs:
	$(PYTHON) -m pytest tests/test_architecture.py -k "link or names"
