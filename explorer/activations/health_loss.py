"""How wrong a network is on examples of its own: the loss whose gradient is followed through the layers."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer import data
from explorer.activations.capture import score
from explorer.activations.feed import TIME, Feed, dataset, feed, kind_of, sample
from explorer.data.text import IGNORED
from explorer.models.noise import FLOW, alphas_bar, question
from explorer.training.objectives import MASKED, masked
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.model import Model
from explorer.zoo.text import TextModel

STAND_IN = "shapes"  # pictures for networks whose own data are not here


@dataclass(frozen=True, eq=False)
class Task:
    """Examples, and what the network should have answered to them."""

    given: Feed
    truth: Tensor | None  # (N,) classes, (N, T) tokens, -100 where none is asked, or (N, …) numbers; None: see `whole`
    loss: str  # what the loss is, in words
    examples: str  # what the examples are, in words
    whole: float  # what the loss of a batch, a sum, is divided by so that all batches add up to the mean
    own: bool = False  # without a truth the network's own best answer takes its place; else half the squared answer

    def rows(self, start: int, stop: int) -> "Task":
        """Some of the examples; their losses add up to that of all."""
        truth = None if self.truth is None else self.truth[start:stop]
        return replace(self, given=self.given.rows(start, stop), truth=truth)

    def wrong(self, net: nn.Module) -> Tensor:
        """The loss of these examples on a borrowed tree, (): their share of the mean over the whole sample."""
        answer = self.given.run(net)
        if self.truth is None and not self.own:
            return score(self.given, answer) / self.whole
        truth = answer.detach().argmax(-1) if self.truth is None else self.truth
        if truth.is_floating_point():
            return (answer - truth).square().sum() / self.whole
        answer = answer.flatten(0, -2)  # (rows, classes)
        return functional.cross_entropy(answer, truth.flatten(), ignore_index=IGNORED, reduction="sum") / self.whole


def task(model: Model, count: int = 128, time: float = TIME, given: Feed | None = None, seed: int = 0) -> Task:
    """Examples of a network's own data with the loss that it was trained for, or the nearest that can be had.

    given: other examples, with their truth in `y` where it is known. time: of a denoiser, the share of the noising.
    Networks without data of their own get pictures of `shapes`, soft noise or their usual text; where no truth is known
    the loss is that of their own best answers, and of what names nothing half the squared answer.
    """
    known = dataset(model)
    words = f"test examples of its own data, {model.card.dataset}" if known is not None else "made examples"
    if given is None and known is None and kind_of(model) == "image":
        given = feed(model, data.load(STAND_IN, "test").x[:count])
        words = f"test pictures of {STAND_IN}, as its own data are not here"
    elif given is not None:
        words = "examples that were given"
    given = sample(model, count, time=time, seed=seed) if given is None else given
    if isinstance(model, Denoiser):
        return _noise(model, given, time, seed, words)
    if isinstance(model, TextModel):
        return _tokens(model, given, seed, words, known is not None)
    if given.y is None:
        own = "the cross-entropy against its own answers, as the true classes are not known"
        return Task(given, None, own, words, len(given), own=True)
    truth = torch.tensor(given.y, device=model.device).long()
    return Task(given, truth, "the cross-entropy against the true classes", words, len(given))


def _noise(model: Denoiser, given: Feed, time: float, seed: int, words: str) -> Task:
    """What a denoiser should say of the same states, made once more with the same noise."""
    if given.pixels is None:
        return Task(given, None, "half its squared answer, as the clean example is not known", words, len(given))
    with model.borrow() as parts, torch.no_grad():
        clean = model.encode(parts, given.pixels)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed)).to(clean)
    shares = torch.from_numpy(alphas_bar(model.config)).to(clean)
    at = round(time * (len(shares) - 1))
    state, truth = question(model.config, clean, noise, shares[at].expand(len(clean)))
    asked = "the noise" if model.config.get("prediction_type", "epsilon") == "epsilon" else "what it should answer"
    given = replace(given, inputs={"x": state})
    return Task(given, truth, f"the squared error against {asked}", words, truth.numel())


def share_of(model: Denoiser, given: Feed) -> float:
    """The place of a denoiser's examples in the noising, 0 to 1."""
    flow = model.config.get("prediction_type") == FLOW
    return (float(given.time) - flow) / max(1, len(alphas_bar(model.config)) - 1)


def _tokens(model: TextModel, given: Feed, seed: int, words: str, known: bool) -> Task:
    """The tokens that a language model is asked: the next, the hidden, or those of the answer."""
    asked = {"decoder": "the next tokens", "encoder-decoder": "the tokens of the answer", "encoder": "hidden words"}
    loss = f"the cross-entropy against {asked[model.kind]}"
    named = "decoder_input_ids" if model.kind == "encoder-decoder" else "input_ids"
    ids = given.inputs[named]
    if model.card.task == "fill-mask":
        generator = torch.Generator().manual_seed(seed)
        if known and given.y is not None:
            (hidden,), truth = masked(ids, torch.tensor(given.y, device=ids.device), generator)
        else:
            special = torch.isin(ids, torch.tensor(model.tokenizer.all_special_ids, device=ids.device))
            draw = torch.rand(ids.shape, generator=generator).to(ids.device).masked_fill(special, 1)
            hide = draw < max(MASKED, float(draw.min()) + 1e-6)  # one at the least
            hidden = ids.masked_fill(hide, model.tokenizer.mask_token_id)
            truth = ids.masked_fill(~hide, IGNORED)
        given = replace(given, inputs=given.inputs | {"input_ids": hidden})
    elif model.kind == "encoder":
        return _unnamed(model, given, words)
    elif given.y is not None:
        truth = torch.tensor(given.y, device=ids.device)
    else:
        truth = torch.full_like(ids, IGNORED)
        truth[:, :-1] = ids[:, 1:].masked_fill(~given.keep[:, 1:], IGNORED)
    whole = int(truth.ne(IGNORED).sum())
    if not whole:
        return _unnamed(model, given, words)
    return Task(given, truth, loss, words, whole)


def _unnamed(model: TextModel, given: Feed, words: str) -> Task:
    """Of a text network whose truth is not known: the loss of its own answers, or half the squared answer."""
    if model.card.task == "feature-extraction":
        return Task(given, None, "half its squared answer, as it names nothing", words, len(given))
    loss = "the cross-entropy against its own answers, as the truth is not known"
    counted = len(given) if model.kind == "encoder" else int(given.keep.sum())
    return Task(given, None, loss, words, counted, own=True)
