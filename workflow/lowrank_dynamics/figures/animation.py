"""Animations: the frames of a figure as a GIF, with the same bytes whenever they are equal."""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from lowrank_dynamics.figures import style
from lowrank_dynamics.storage.atomic import replacing
from lowrank_dynamics.storage.embedded import figure_metadata

RESOLUTION = 150
"""Dots per inch."""
FRAME, LAST_FRAME = 150, 3000
"""How long a frame and the last one are shown, in milliseconds."""
COLORS = 256
"""The number of colors of all frames together."""


def save(frames: Iterator[Figure], path: Path, origin: Mapping[str, Any], note: str = "") -> None:
    """Write an animation with its provenance, and a note in a strip below it.

    `frames` yields one figure, changed in place; its layout is that of the first frame, its colors
    are those of the last.
    """
    figure = next(frames)
    with style.settled(figure, note) as page:
        pictures = [_picture(frame, page) for frame in chain([figure], frames)]
    first, *others = _in_common_colors(pictures)
    with replacing(path) as partial:
        first.save(
            partial,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=[*[FRAME] * len(others), LAST_FRAME],
            loop=0,
            **figure_metadata(origin)["gif"],
        )


def _in_common_colors(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """Return the pictures with one palette: the `COLORS` colors that suit the last one best, and
    white for the background, which the first pixel has.
    """
    undithered = Image.Dither.NONE
    suited = pictures[-1].quantize(COLORS, dither=undithered)
    reduced = [picture.quantize(palette=suited, dither=undithered) for picture in pictures]
    palette = np.array(suited.getpalette()).reshape(-1, 3)
    background = np.asarray(reduced[0])[0, 0]
    palette[background] = 255
    for picture in reduced:
        picture.putpalette(palette.flatten().tolist())
    return reduced


def _picture(figure: Figure, page: Bbox) -> Image.Image:
    """Return the pixels of a figure's area `page`."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=RESOLUTION, bbox_inches=page)
    with Image.open(content) as picture:
        return picture.convert("RGB")
