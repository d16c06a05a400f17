"""What may be set of synthetic Gaussian clusters."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat

from lowrank_dynamics.config.data.kinds import DrawnData


class ClusterData(DrawnData):
    """Gaussian clusters, one a class."""

    source: Literal["clusters"]
    separation: PositiveFloat = Field(description="distance of two centres in standard deviations of a cluster")

    drawn_by: ClassVar[str] = "lowrank_dynamics.data.clusters:draw"
