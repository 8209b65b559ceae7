"""Array-job orchestrator for sweeps of Bayesian changepoint models of neural activity."""

__version__ = "0.1.0"
