"""Scenes of two objects with a caption that says how they lie to each other."""

import numpy as np

from explorer.data.base import DATASETS, Dataset, stream
from explorer.data.cache import cached
from explorer.data.drawing.scenes import RELATIONS, SHAPES, draw, pair, relate
from explorer.data.drawing.textures import SIDE

VERSION = 1  # of the drawing: raise it when a picture changes, so that no stale file is read
SIZES = {"train": 6000, "validation": 600, "test": 1000}


@DATASETS.register("shapes-captions", task="image", shape=(3, SIDE, SIDE), classes=len(SHAPES))
def shapes_captions(split: str, seed: int) -> Dataset:
    """Two shapes of different kind and colour, with a caption such as "a red ring left of a blue star".

    The class and the mask are those of the object that the caption names first. The picture alone does not tell which
    of the two that is: without the caption nobody can name it in more than about half of the pictures.
    """
    found = cached(f"shapes-captions-v{VERSION}-{seed}-{split}-{SIZES[split]}", lambda: _make(split, seed))
    masks = np.unpackbits(found["masks"], axis=2).astype(bool)
    captions = tuple(found["captions"].tolist())
    return Dataset("shapes-captions", split, "image", found["x"], found["y"], SHAPES, masks, captions)


def _make(split: str, seed: int) -> dict[str, np.ndarray]:
    rng = stream(seed, split)
    y = rng.permutation(np.arange(SIZES[split]) % len(SHAPES))
    others = (y + rng.integers(1, len(SHAPES), size=len(y))) % len(SHAPES)  # never the same class
    x = np.empty((len(y), SIDE, SIDE, 3), np.uint8)
    masks = np.empty((len(y), SIDE, SIDE), bool)
    captions = []
    for index, (first, second) in enumerate(zip(y, others, strict=True)):
        relation = RELATIONS[rng.integers(len(RELATIONS))]
        scene = pair(rng, SHAPES[first], SHAPES[second], relation)
        x[index], (masks[index], _) = draw(scene, rng)
        captions.append(relate(scene, relation))
    return {"x": x, "y": y, "masks": np.packbits(masks, axis=2), "captions": np.array(captions)}
