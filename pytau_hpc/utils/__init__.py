"""Doors under the names that PyTau has in `pytau.utils`."""
