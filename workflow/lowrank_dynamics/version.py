"""The version of the package; a new one invalidates no result."""

__version__ = "0.1.0"
