"""A network that tells noise from pictures, with what stands around it: labels or a text encoder, an autoencoder."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer.errors import ExplorerError
from explorer.zoo.card import Card
from explorer.zoo.graphs import Graphs
from explorer.zoo.model import Model

LONGEST_PROMPT = 2000  # letters


@dataclass(frozen=True, eq=False)
class Asked:
    """What N samples are to become, as the network takes it."""

    names: tuple[str, ...]  # (N,) in words; "" nothing
    given: Tensor | None  # (N,) classes or (N, T, width) prompts; None where the network takes no condition
    nothing: Tensor | None  # the same for nothing, or for what is to be avoided; None where it never learned that
    unknown: tuple[str, ...] = ()  # words that the network has never seen
    cut: int = 0  # tokens that were left out at the end of the longest prompt


class Denoiser(Model):
    """A diffusion model; `borrow` lends its parts as a ModuleDict: `unet`, and `vae` and `text_encoder` if it has them.

    config: of its scheduler, as diffusers writes it. tokenizer: of the text encoder.
    """

    def __init__(
        self, card: Card, parts: Mapping[str, nn.Module], config: Mapping[str, Any], tokenizer: Any = None
    ) -> None:
        super().__init__(card, nn.ModuleDict(parts))
        self.config = dict(config)
        self.tokenizer = tokenizer
        self._reading = threading.Lock()
        unet = parts["unet"]
        self.kind = "text" if "text_encoder" in parts else "class" if _classes(unet) else "free"
        self.latent = "vae" in parts
        self.x_shape = self.card.shape
        if self.latent:
            side = unet.config.sample_size
            self.x_shape = (unet.config.in_channels, *((side, side) if isinstance(side, int) else side))
        self._classes = _classes(unet)
        self._graphs = Graphs(unet, partial(_answer, self.kind))

    @property
    def avoids(self) -> bool:
        """Whether it learned to work without a condition too, so that it can be guided."""
        return self.kind == "text" or (self.kind == "class" and self._classes > len(self.card.labels))

    def ask(self, parts: nn.ModuleDict, condition: Any, count: int, avoid: Any = None) -> Asked:
        """What `count` samples are to become: one condition for all, or one for each.

        condition: a class by its name or number, or a prompt; None asks for nothing. avoid: the same, for what guidance
        leads away from. Raises ExplorerError for a condition that the network does not take.
        """
        several = isinstance(condition, Sequence) and not isinstance(condition, str)
        wanted = list(condition) if several else [condition] * count
        if len(wanted) != count:
            raise ExplorerError("The conditions", f"there are {len(wanted)} for {count} samples", "Give one for each")
        if self.kind == "free":
            if any(one is not None for one in (*wanted, avoid)):
                raise ExplorerError(
                    f"A condition for {self.card.ref}", "it draws whatever it likes", "Leave the condition out"
                )
            return Asked(("",) * count, None, None)
        if self.kind == "class":
            return self._ask_classes(wanted, avoid)
        return self._ask_prompts(parts, wanted, avoid)

    def _ask_classes(self, wanted: list[Any], avoid: Any) -> Asked:
        names = [self._label(one) for one in (*wanted, avoid)]
        nothing = len(self.card.labels) if self.avoids else None
        if nothing is None and "" in names[:-1]:
            raise ExplorerError(f"The class for {self.card.ref}", "none was named", "Name one for each sample")
        numbers = [nothing if name == "" else self.card.labels.index(name) for name in names]
        device = self.device
        away = None if numbers[-1] is None else torch.tensor(numbers[-1:] * len(wanted), device=device)
        return Asked(tuple(names[:-1]), torch.tensor(numbers[:-1], device=device), away)

    def _label(self, asked: Any) -> str:
        """A class by its name, from its name or its number."""
        if asked is None or asked == "":
            return ""
        labels = self.card.labels
        if isinstance(asked, int | np.integer) and not isinstance(asked, bool) and 0 <= asked < len(labels):
            return labels[asked]
        if asked in labels:
            return str(asked)
        raise ExplorerError(
            f"The class {str(asked)[:60]!r}",
            f"{self.card.ref} has none of that name",
            f"Choose of: {', '.join(labels)}",
        )

    def _ask_prompts(self, parts: nn.ModuleDict, wanted: list[Any], avoid: Any) -> Asked:
        prompts = ["" if one is None else str(one).strip() for one in (*wanted, avoid)]
        if any(len(prompt) > LONGEST_PROMPT for prompt in prompts):
            raise ExplorerError("The prompt", f"it is longer than {LONGEST_PROMPT:,} letters", "Shorten it")
        unique = list(dict.fromkeys(prompts))
        longest = self.tokenizer.model_max_length
        ids = self.read(
            unique, padding="max_length", truncation=True, max_length=longest, return_tensors="pt"
        ).input_ids
        states = parts["text_encoder"](ids.to(self.device))[0]  # (prompts, T, width)
        rows = states[torch.tensor([unique.index(prompt) for prompt in prompts], device=self.device)]
        whole = max(map(len, self.read(unique).input_ids))
        return Asked(
            tuple(prompts[:-1]), rows[:-1], rows[-1:].expand_as(rows[:-1]), self.unknown(prompts),
            max(0, whole - longest),
        )  # fmt: skip

    def read(self, prompts: str | list[str], **how: Any) -> Any:
        """Prompts as the tokenizer gives them, by one thread at a time: it remembers how it was last asked."""
        with self._reading:
            return self.tokenizer(prompts, **how)

    def unknown(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """Words of the prompts that the text encoder has no token for."""
        mark = getattr(self.tokenizer, "unk_token", None)
        if mark is None:
            return ()
        words = dict.fromkeys(word for prompt in prompts for word in prompt.split())
        return tuple(word for word in words if mark in self.tokenizer.tokenize(word) and word != mark)

    def predict(self, x: Any, batch: int = 256) -> np.ndarray:
        """Refuses: there are no classes to be probable."""
        raise ExplorerError(f"The answer of {self.card.ref}", "it draws, and names nothing", "Choose a classifier")

    def answer(self, parts: nn.ModuleDict, x: Tensor, time: Tensor, given: Tensor | None) -> Tensor:
        """What the network says of states (N, …) at one time: the noise in them, as a rule."""
        return _answer(self.kind, parts["unet"], x, time, given)

    def quick(self, parts: nn.ModuleDict, x: Tensor, time: Tensor, given: Tensor | None) -> Tensor:
        """The same numbers of parts that are as they were lent, sooner where it is asked again and again."""
        return self._graphs.ask(parts["unet"], x, time, given)

    def decode(self, parts: nn.ModuleDict, x: Tensor) -> np.ndarray:
        """Clean states (N, …) as pictures (N, H, W, C) uint8, or as points (N, 2)."""
        if len(self.card.shape) == 1:
            return (x * x.new_tensor(self.card.std) + x.new_tensor(self.card.mean)).cpu().numpy()
        if self.latent:
            vae = parts["vae"]
            x = vae.decode(x / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0)).sample
        pixels = x * x.new_tensor(self.card.std).view(-1, 1, 1) + x.new_tensor(self.card.mean).view(-1, 1, 1)
        return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    def encode(self, parts: nn.ModuleDict, pictures: Any) -> Tensor:
        """Pictures, or points, as clean states (N, …)."""
        if len(self.card.shape) == 1:
            return self._points(pictures)
        x = self.preprocess(pictures)
        if self.latent:
            vae = parts["vae"]
            shift = getattr(vae.config, "shift_factor", None) or 0
            x = (vae.encode(x).latent_dist.mode() - shift) * vae.config.scaling_factor
        return x


def _classes(unet: nn.Module) -> int:
    """How many class embeddings a network has."""
    return getattr(unet.config, "num_class_embeds", None) or 0


def _answer(kind: str, unet: nn.Module, x: Tensor, time: Tensor, given: Tensor | None) -> Tensor:
    if kind == "text":
        answer = unet(x, time, encoder_hidden_states=given)
    elif given is None:
        answer = unet(x, time)
    else:
        answer = unet(x, time, class_labels=given)
    return answer if isinstance(answer, Tensor) else answer.sample
