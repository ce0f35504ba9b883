"""What a classifier says of the first test examples of its data, or of another's: asked once, for all who look."""

from collections.abc import Hashable

import numpy as np

from explorer.data.base import Dataset
from explorer.store import ANSWERS
from explorer.zoo.card import Card
from explorer.zoo.model import Model

TRIED = 1000  # test examples at most


def tried(model: Model, owner: Card, found: Dataset, most: int = TRIED) -> np.ndarray:
    """Class probabilities, (N, classes), of the first N examples of the test split `found`; kept.

    owner: the card of the network that learned those data. most: N, where there are so many.
    """
    return ANSWERS.get(_kept_at(model, owner, most), lambda: model.predict(found.x[:most]))


def untried(model: Model, owner: Card, found: Dataset, most: int = TRIED) -> int:
    """How many examples the model would have to be asked about now."""
    return 0 if ANSWERS.holds(_kept_at(model, owner, most)) else min(most, len(found))


def _kept_at(model: Model, owner: Card, most: int) -> Hashable:
    return "tried", model.card.ref, owner.dataset, repr(sorted(owner.dataset_settings.items())), most
