"""From metrics to figures, one module a figure.

To add one, write a module with `draw`, which takes the metrics of each of its experiments and returns a matplotlib
figure, and its line in `FIGURES` of `config.figures`.
"""
