"""Does a word look at what it names? Maps of real pictures, noised, against the true mask of the object."""

from dataclasses import dataclass

import numpy as np
import torch

from explorer import data
from explorer.diffusion.words import looks, words_of
from explorer.errors import ExplorerError
from explorer.models.noise import alphas_bar
from explorer.zoo.denoiser import Denoiser

TIME = 500  # of the forward process, at which pictures are noised: half-way
NOUN, OTHER = 2, -1  # of "a red ring left of a blue star": the first object's noun, and the second's


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


def word_scores(model: Denoiser, examples: int = 200, time: int = TIME) -> WordScores:
    """The share of a noun's map that lies inside its object, in held-out pictures with two of them.

    Each picture is noised to the time, and the network is asked with its own caption, so that the true mask is known.
    Raises ExplorerError for a network that reads no words, or whose data have no masks.
    """
    if model.kind != "text" or not model.card.dataset:
        raise ExplorerError(
            f"Words of {model.card.ref}", "no masks are known for what it draws", "Choose a shipped one"
        )
    test = data.load(model.card.dataset, "test", **dict(model.card.dataset_settings))
    chosen = [row for row, caption in enumerate(test.captions) if len(caption.split()) > 3][:examples]
    share = float(alphas_bar(model.config)[time])
    generator = torch.Generator().manual_seed(0)
    found = []
    with model.borrow() as parts, torch.inference_mode():
        for row in chosen:
            clean = model.encode(parts, test.x[row])
            noise = torch.randn(clean.shape, generator=generator).to(clean.device)
            state = share**0.5 * clean + (1 - share) ** 0.5 * noise
            _, places = words_of(model, test.captions[row])
            given = model.ask(parts, test.captions[row], 1).given
            maps = looks(model, parts, state, torch.tensor(time, device=model.device), given).float().cpu().numpy()
            inside = _shrunk(test.masks[row], maps.shape[1:])
            found.append([_on(maps[places[word]].sum(0), inside) for word in (NOUN, OTHER)] + [inside.mean()])
    return WordScores(*np.array(found).T)


def _on(picture: np.ndarray, inside: np.ndarray) -> float:
    return float((picture * inside).sum() / picture.sum())


def _shrunk(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How much of each cell of a map lies inside a mask, 0 to 1."""
    rows, columns = mask.shape[0] // shape[0], mask.shape[1] // shape[1]
    return mask.reshape(shape[0], rows, shape[1], columns).mean((1, 3))
