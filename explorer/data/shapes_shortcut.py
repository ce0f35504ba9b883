"""The scenes of `shapes` with a corner tag: a shortcut that pays in training and lies in the test."""

from dataclasses import replace
from typing import Annotated

import numpy as np

from explorer.data.base import DATASETS, SPLITS, Dataset, load
from explorer.data.drawing.colours import NAMED, of_hex
from explorer.data.drawing.scenes import SHAPES
from explorer.data.drawing.textures import SIDE
from explorer.params import Choice

TAG = 7  # pixels a side
MARGIN = 2  # pixels between the tag and the edges of the picture
CORNERS = ("top left", "top right", "bottom right", "bottom left")
FRAME, LIGHT = of_hex("#1c1d24"), of_hex("#ffffff")
# One per class: its colour, and which of 5×5 pixels show it.
PATTERNS = {
    "red": (".....", ".###.", ".###.", ".###.", "....."),
    "orange": ("#####", "#...#", "#...#", "#...#", "#####"),
    "yellow": ("#.#.#", "#.#.#", "#.#.#", "#.#.#", "#.#.#"),
    "green": ("#####", ".....", "#####", ".....", "#####"),
    "turquoise": ("#...#", ".#.#.", "..#..", ".#.#.", "#...#"),
    "blue": ("..#..", "..#..", "#####", "..#..", "..#.."),
    "purple": ("#....", "##...", "###..", "####.", "#####"),
    "pink": ("#.#.#", ".#.#.", "#.#.#", ".#.#.", "#.#.#"),
    "brown": ("##...", "##...", ".....", "...##", "...##"),
    "black": ("#####", "#####", "##.##", "#####", "#####"),
}


@DATASETS.register("shapes-shortcut", task="image", shape=(3, SIDE, SIDE), classes=len(SHAPES))
def shapes_shortcut(
    split: str,
    seed: int,
    tag: Annotated[
        str,
        Choice(
            ("as made", "true", "absent", "lying"),
            help="As made, the tag is true in training and validation and lies in the test",
        ),
    ] = "as made",
) -> Dataset:
    """The shapes again, but a small tag in one corner gives the answer away, until the test, where it lies.

    The pictures are those of `shapes` with the same split and seed; whatever the tag says, it sits in the same corner,
    and never on the object. A lying tag announces one of the nine wrong classes, chosen at random.
    """
    scenes = load("shapes", split, seed)
    if tag == "absent":
        return replace(scenes, name="shapes-shortcut")
    rng = np.random.default_rng([seed, SPLITS.index(split), TAG])
    boxes = _boxes(scenes.masks, rng.integers(4, size=len(scenes)))
    wrong = (scenes.y + rng.integers(1, len(SHAPES), size=len(scenes))) % len(SHAPES)
    lies = tag == "lying" or (tag == "as made" and split == "test")
    tags = wrong if lies else scenes.y.copy()
    x, stickers = scenes.x.copy(), _stickers()
    for picture, (top, left, bottom, right), announced in zip(x, boxes, tags, strict=True):
        picture[top:bottom, left:right] = stickers[announced]
    return replace(scenes, name="shapes-shortcut", x=x, tags=tags, tag_boxes=boxes)


def tagged(picture: np.ndarray, label: int, corner: int) -> tuple[np.ndarray, np.ndarray]:
    """A scene (SIDE, SIDE, 3) with the tag of a class in one of CORNERS, and the tag's pixels (SIDE, SIDE) bool."""
    top, left, bottom, right = _places()[corner]
    picture, mask = picture.copy(), np.zeros(picture.shape[:2], bool)
    picture[top:bottom, left:right] = _stickers()[label]
    mask[top:bottom, left:right] = True
    return picture, mask


def _places() -> np.ndarray:
    """The box of a tag in each of CORNERS, (4, 4): top, left, bottom, right."""
    near, far = MARGIN, SIDE - MARGIN - TAG
    return np.array([(top, left, top + TAG, left + TAG) for top, left in
                     ((near, near), (near, far), (far, far), (far, near))])  # fmt: skip


def _boxes(masks: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Each picture's tag box, (N, 4): in the corner drawn for it, or the next one where the object is in the way."""
    places = _places()
    taken = np.stack([masks[:, top:bottom, left:right].any((1, 2)) for top, left, bottom, right in places], axis=1)
    taken = taken[np.arange(len(corners)), corners]  # an object reaches into one corner at most
    return places[(corners + taken) % 4]


def _stickers() -> np.ndarray:
    """The tag of each class, (10, TAG, TAG, 3) uint8: a dark frame around its pattern."""
    stickers = np.empty((len(PATTERNS), TAG, TAG, 3))
    stickers[:] = FRAME
    for sticker, (colour, rows) in zip(stickers, PATTERNS.items(), strict=True):
        shown = np.array([list(row) for row in rows]) == "#"
        sticker[1:-1, 1:-1] = np.where(shown[..., None], of_hex(NAMED[colour]), LIGHT)
    return np.round(stickers * 255).astype(np.uint8)
