"""Does a word look at what it names? Maps of real pictures, noised, against the true mask of the object."""

from dataclasses import dataclass

import numpy as np
import torch

from explorer import data
from explorer.data.base import Dataset
from explorer.diffusion.words import looks, words_of
from explorer.errors import ExplorerError
from explorer.models.noise import alphas_bar
from explorer.zoo.denoiser import Denoiser

TIME = 500  # of the forward process, at which pictures are noised: half-way
NOUN, OTHER = 2, -1  # of "a red ring left of a blue star": the first object's noun, and the second's
ALONE = 3  # words of a caption of one object


@dataclass(frozen=True, eq=False)
class WordScores:
    """Over N pictures of two objects: which share of a word's attention lies on the first object."""

    noun: np.ndarray  # (N,) of its own noun
    other: np.ndarray  # (N,) of the other object's noun
    uniform: np.ndarray  # (N,) of a map that is the same everywhere: the share of the picture that the object fills

    @property
    def summary(self) -> dict[str, float]:
        """The means, by what they are called on a card."""
        means = {"its own word": self.noun, "the other word": self.other, "a uniform map": self.uniform}
        return {f"on the object, {name}": float(values.mean()) for name, values in means.items()}


@dataclass(frozen=True, eq=False)
class Look:
    """Where the words of one caption look in a real picture, and what the true mask says of it."""

    words: tuple[tuple[str, np.ndarray, float], ...]  # word, its map (h, w), the share of it on the first object
    noun: str  # of the first object
    on_noun: float  # the share of the noun's map that lies on its object
    on_other: float  # the share of the other object's noun
    uniform: float  # the share of the picture that the object fills


def noun_places(test: Dataset) -> list[int]:
    """The pictures with two objects."""
    return [row for row, caption in enumerate(test.captions) if len(caption.split()) > ALONE]


def look(model: Denoiser, test: Dataset, row: int, time: int = TIME) -> Look:
    """The maps of the words of a real picture's own caption, the picture noised to a time.

    Raises ExplorerError for a network that reads no words.
    """
    if model.kind != "text":
        raise ExplorerError(f"Words of {model.card.ref}", "it reads none", "Choose a network that draws from prompts")
    share = float(alphas_bar(model.config)[time])
    generator = torch.Generator().manual_seed(row)
    with model.borrow() as parts, torch.inference_mode():
        clean = model.encode(parts, test.x[row])
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        state = share**0.5 * clean + (1 - share) ** 0.5 * noise
        names, places = words_of(model, test.captions[row])
        given = model.ask(parts, test.captions[row], 1).given
        maps = looks(model, parts, state, torch.tensor(time, device=model.device), given).float().cpu().numpy()
    inside = _shrunk(test.masks[row], maps.shape[1:])
    found = [maps[tokens].sum(0) for tokens in places]
    words = tuple((name, one, _on(one, inside)) for name, one in zip(names, found, strict=True))
    return Look(words, names[NOUN], words[NOUN][2], words[OTHER][2], float(inside.mean()))


def word_scores(model: Denoiser, examples: int = 200, time: int = TIME) -> WordScores:
    """The share of a noun's map that lies inside its object, over held-out pictures with two of them.

    Each picture is noised to the time, and the network is asked with its own caption, so that the true mask is known.
    Raises ExplorerError for a network that reads no words, or whose data have no masks.
    """
    test = data.load(model.card.dataset, "test", **dict(model.card.dataset_settings)) if model.card.dataset else None
    if test is None or test.masks is None or test.captions is None:
        raise ExplorerError(f"Words of {model.card.ref}", "no masks of what it draws are known", "Choose another")
    found = [look(model, test, row, time) for row in noun_places(test)[:examples]]
    return WordScores(*(np.array([getattr(one, name) for one in found]) for name in ("on_noun", "on_other", "uniform")))


def _on(picture: np.ndarray, inside: np.ndarray) -> float:
    return float((picture * inside).sum() / picture.sum())


def _shrunk(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How much of each cell of a map lies inside a mask, 0 to 1."""
    rows, columns = mask.shape[0] // shape[0], mask.shape[1] // shape[1]
    return mask.reshape(shape[0], rows, shape[1], columns).mean((1, 3))
