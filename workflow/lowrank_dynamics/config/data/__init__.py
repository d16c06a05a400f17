"""The data sets that `source` may name.

To add one, write a module here with its settings, which name the function that draws or loads it, and add it to `Data`.
"""

from typing import Annotated

from pydantic import Field

from lowrank_dynamics.config.data.clusters import ClusterData
from lowrank_dynamics.config.data.convolved import ConvolvedData
from lowrank_dynamics.config.data.fashion_mnist import FashionMnistData

Data = Annotated[ClusterData | ConvolvedData | FashionMnistData, Field(discriminator="source")]
