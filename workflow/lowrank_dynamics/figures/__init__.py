"""From metrics to figures, one module per figure.

To add one, write a module with `draw`, which takes the metrics of each of its experiments and
returns a matplotlib figure, and add it to `FIGURES` in `config.figures`.
"""

import os

# Figures are files; a terminal of Jupyter names a backend that may not be there.
os.environ["MPLBACKEND"] = "agg"
