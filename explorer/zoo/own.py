"""A network of ours from its card and its weights file."""

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.zoo.card import Card
from explorer.zoo.store import Found

if TYPE_CHECKING:
    from explorer.zoo.model import Model


def find(card: Card, weights: Path) -> Found:
    """The model of a card whose state dict is in a safetensors file, in half or single precision."""
    return Found(card.bytes, lambda: open_weights(card, weights))


def open_weights(card: Card, weights: Path) -> "Model":
    """Build what the card says and fill in every weight.

    Raises ExplorerError, which names the file, when it is missing, damaged, or holds another network's weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from explorer import models
    from explorer.zoo.model import Model

    module = models.build(card.architecture, card.shape, len(card.labels), **card.settings)
    try:
        module.load_state_dict(load(weights.read_bytes()))  # strict: every name and shape must agree
    except OSError as error:
        raise _broken(weights, f"it can't be read ({error.strerror})") from error
    except SafetensorError as error:
        raise _broken(weights, f"it is damaged ({error})") from error
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise
        detail = str(error).split("\n\t")[1].strip().rstrip(".")[:200]
        raise _broken(weights, f"it does not fit the network on its card ({detail})") from error
    return Model(card, module.to(settings().device))


def _broken(weights: Path, wrong: str) -> ExplorerError:
    return ExplorerError(
        f"The weights {weights.parent.name}/{weights.name}", wrong, "Make them again, or open another model"
    )
