"""Small pictures of one or two plain shapes, each with the words that it was drawn from."""

import numpy as np

from explorer.data.base import DATASETS, Dataset, stream
from explorer.data.cache import cached
from explorer.data.drawing.scenes import RELATIONS, draw, pick, relate, sketch
from explorer.data.drawing.textures import SIDE

VERSION = 1  # of the drawing: raise it when a picture changes, so that no stale file is read
SIZES = {"train": 16_000, "validation": 800, "test": 1000}
DRAWN = ("disc", "ring", "square", "triangle", "star", "cross", "heart", "crescent")  # told apart at 12 pixels a side
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
NEVER = (
    ("purple", "star"),
    ("orange", "heart"),
    ("white", "cross"),
    ("green", "crescent"),
)  # not in any training picture
ALONE = 0.3  # share of pictures with one object


@DATASETS.register("shapes-prompts", task="image", shape=(3, SIDE // 2, SIDE // 2), classes=len(DRAWN))
def shapes_prompts(split: str, seed: int) -> Dataset:
    """One or two plain shapes in 32×32 pixels, with a caption such as "a red ring left of a blue star".

    The class and the mask are those of the object that the caption names first. Four pairs of colour and shape, a
    purple star among them, are in no training picture, so that it can be asked whether a network can put together what
    it never saw together.
    """
    found = cached(f"shapes-prompts-v{VERSION}-{seed}-{split}-{SIZES[split]}", lambda: _make(split, seed))
    masks = np.unpackbits(found["masks"], axis=2).astype(bool)
    return Dataset(
        "shapes-prompts", split, "image", found["x"], found["y"], DRAWN, masks, tuple(found["captions"].tolist())
    )


def _make(split: str, seed: int) -> dict[str, np.ndarray]:
    rng = stream(seed, split)
    y = rng.permutation(np.arange(SIZES[split]) % len(DRAWN))
    x = np.empty((len(y), SIDE // 2, SIDE // 2, 3), np.uint8)
    masks = np.empty((len(y), SIDE // 2, SIDE // 2), bool)
    captions = []
    for index, label in enumerate(y):
        relation = pick(rng, RELATIONS)
        scene = sketch(rng, _names(rng, DRAWN[label], split), relation)
        picture, (mask, *_) = draw(scene, rng, clutter=False)
        x[index] = np.round(picture.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean((1, 3)))
        masks[index] = mask.reshape(SIDE // 2, 2, SIDE // 2, 2).mean((1, 3)) >= 0.5
        captions.append(relate(scene, relation))
    return {"x": x, "y": y, "masks": np.packbits(masks, axis=2), "captions": np.array(captions)}


def _names(rng: np.random.Generator, shape: str, split: str) -> tuple[tuple[str, str], ...]:
    """What is in the picture as (colour, shape), the first of this shape: another shape and colour for the second."""
    while True:
        colours = rng.choice(COLOURS, 2, replace=False).tolist()
        names = ((colours[0], shape), (colours[1], pick(rng, [other for other in DRAWN if other != shape])))
        names = names[:1] if rng.random() < ALONE else names
        if split != "train" or not set(names) & set(NEVER):
            return names
