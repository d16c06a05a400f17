"""Low-rank training dynamics of MLPs with smooth activations: the paper's method, its experiments and its figures."""

__version__ = "0.1.0"
