"""The judge of drawn shapes: a network that says what is in a picture and how it lies, trained on pictures of ours.

It answers five questions at once: how the objects lie (alone, side by side, one above the other), and the colour and
the shape of the first and of the second of them, as one reads: from the left or from the top.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from explorer import data, models
from explorer.data.shapes_prompts import COLOURS, DRAWN
from explorer.errors import ExplorerError
from explorer.models.base import initialise

LIES = ("alone", "side by side", "one above the other")
QUESTIONS = (("lies", LIES), ("colour", COLOURS), ("shape", DRAWN), ("colour", COLOURS), ("shape", DRAWN))
SIZES = tuple(len(answers) for _, answers in QUESTIONS)
FILE = "judge.safetensors"
FEATURES = 128
BATCH, LR = 64, 4e-3
NOTHING = -100  # the second object where there is one alone


@dataclass(frozen=True)
class Seen:
    """What is in a picture: one or two objects in reading order, as (colour, shape)."""

    lies: str
    things: tuple[tuple[str, str], ...]


def parse(caption: str) -> Seen:
    """What a caption of the data set says; raises ExplorerError for any other sentence."""
    words = [word for word in caption.lower().split() if word not in ("a", "an", "of")]
    try:
        if len(words) == 2:
            return Seen("alone", (_thing(words),))
        first, relation, second = _thing(words[:2]), words[2], _thing(words[3:])
        lies = {"left": LIES[1], "right": LIES[1], "above": LIES[2], "below": LIES[2]}[relation]
        return Seen(lies, (second, first) if relation in ("right", "below") else (first, second))
    except (LookupError, ValueError) as error:
        raise ExplorerError(
            f"The prompt {caption[:80]!r}",
            "the judge reads only captions as in the data",
            "Say, a red ring above a blue star",
        ) from error


def _thing(words: Sequence[str]) -> tuple[str, str]:
    colour, shape = words
    COLOURS.index(colour), DRAWN.index(shape)
    return colour, shape


class Judge:
    """What is seen in pictures of the size of the data set."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net.eval().requires_grad_(False)

    def see(self, pictures: np.ndarray) -> list[Seen]:
        """What is in each of the pictures, (N, 32, 32, 3) uint8."""
        with torch.inference_mode():
            parts = [answers.argmax(1) for answers in self._logits(pictures).split(SIZES, 1)]
        return [self._seen([int(part[row]) for part in parts]) for row in range(len(pictures))]

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """What the network makes of each picture before it names anything, (N, D)."""
        found: list[Tensor] = []
        handle = self.net.head[-1].register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
        try:
            with torch.inference_mode():
                self._logits(pictures)
        finally:
            handle.remove()
        return torch.cat(found).numpy()

    def _logits(self, pictures: np.ndarray) -> Tensor:
        x = tensor(pictures)
        return torch.cat([self.net(part) for part in x.split(256)])

    @staticmethod
    def _seen(answers: list[int]) -> Seen:
        names = [labels[answer] for (_, labels), answer in zip(QUESTIONS, answers, strict=True)]
        things = ((names[1], names[2]), (names[3], names[4]))
        return Seen(names[0], things[:1] if names[0] == LIES[0] else things)


def untrained(seed: int = 0) -> nn.Module:
    """The network of a judge, which has learned nothing: a ResNet that keeps apart what is where."""
    net = models.build("resnet", (3, 32, 32), sum(SIZES), seed, depth=8, width=16, stride=1)
    net.pool = nn.AdaptiveAvgPool2d(4)
    net.head = nn.Sequential(nn.Linear(64 * 4 * 4, FEATURES), nn.ReLU(), nn.Linear(FEATURES, sum(SIZES)))
    initialise(net.head, torch.Generator().manual_seed(seed))
    return net


def train(tell: Callable[[dict[str, Any]], None], steps: int) -> nn.Module:
    """A judge that has learned from the training split of `shapes-prompts`."""
    split = data.load("shapes-prompts", "train")
    x, y = tensor(split.x), torch.tensor([numbers(parse(caption)) for caption in split.captions])
    net = untrained().train()
    optimizer = torch.optim.AdamW(net.parameters(), LR, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, steps)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        rows = torch.randint(len(x), (BATCH,), generator=generator)
        given = x[rows] + 0.1 * torch.rand(BATCH, 1, 1, 1, generator=generator) * torch.randn(
            x[rows].shape, generator=generator
        )  # drawn pictures are not as clean as ours
        answers = net(given).split(SIZES, 1)
        loss = sum(cross_entropy(answer, y[rows, place], ignore_index=NOTHING) for place, answer in enumerate(answers))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            tell({"step": step, "loss": loss.item()})
    return net.eval()


def numbers(seen: Seen) -> list[int]:
    """The right answers to the five questions."""
    flat = [LIES.index(seen.lies)]
    for colour, shape in seen.things:
        flat += [COLOURS.index(colour), DRAWN.index(shape)]
    return flat + [NOTHING] * (5 - len(flat))


def tensor(pictures: np.ndarray) -> Tensor:
    """Pictures from -1 to 1, (N, C, H, W)."""
    x = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def load(folder: Path) -> Judge:
    """The judge that ships beside the model that it judges."""
    from safetensors.torch import load_file

    net = untrained()
    net.load_state_dict(load_file(folder / FILE))
    return Judge(net)
