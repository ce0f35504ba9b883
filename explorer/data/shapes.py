"""Pictures of one object each, drawn by us, so that the object's pixels are known exactly."""

from typing import Annotated

import numpy as np

from explorer.data.base import DATASETS, Dataset, stream
from explorer.data.cache import cached
from explorer.data.drawing.scenes import SHAPES, describe, draw, single
from explorer.data.drawing.textures import SIDE
from explorer.errors import ExplorerError
from explorer.params import Slider
from explorer.settings import settings

VERSION = 2  # of the drawing: raise it when a picture changes, so that no stale file is read
SIZES = {"validation": 600, "test": 1000}


@DATASETS.register("shapes", task="image", shape=(3, SIDE, SIDE), classes=len(SHAPES))
def shapes(
    split: str,
    seed: int,
    pictures: Annotated[
        int,
        Slider(1000, 24000, step=1000, label="Training pictures", help="More pictures leave less to learn by heart."),
    ] = 6000,
) -> Dataset:
    """One of ten shapes, any size, colour and angle, on a busy background.

    64×64 pixels; masks hold the object's visible pixels; captions name its size, colour, background and place.
    600 validation and 1,000 test pictures, each class equally often.
    """
    size = SIZES.get(split, pictures)
    limit = settings().limits.cache // (4 * SIDE * SIDE)  # three channels and a mask
    if size > limit:
        raise ExplorerError(
            "The dataset 'shapes'", f"{size:,} pictures are more than this server keeps", f"Use at most {limit:,}"
        )
    found = cached(f"shapes-v{VERSION}-{seed}-{split}-{size}", lambda: _make(split, seed, size))
    masks = np.unpackbits(found["masks"], axis=2).astype(bool)
    captions = tuple(found["captions"].tolist())
    return Dataset("shapes", split, "image", found["x"], found["y"], SHAPES, masks, captions)


def _make(split: str, seed: int, size: int) -> dict[str, np.ndarray]:
    rng = stream(seed, split)
    y = rng.permutation(np.arange(size) % len(SHAPES))
    x = np.empty((len(y), SIDE, SIDE, 3), np.uint8)
    masks = np.empty((len(y), SIDE, SIDE), bool)
    captions = []
    for index, label in enumerate(y):
        scene = single(rng, SHAPES[label])
        x[index], (masks[index],) = draw(scene, rng)
        captions.append(describe(scene, masks[index]))
    return {"x": x, "y": y, "masks": np.packbits(masks, axis=2), "captions": np.array(captions)}
