"""Train a shipped model from scratch and put it in its folder, with everything its run recorded."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from explorer import data
from explorer.runs import files
from explorer.settings import settings
from explorer.training.record import record
from explorer.zoo import load
from explorer.zoo.card import TEXT_TASKS, Card
from explorer.zoo.recipes import RECIPES, TITLES
from explorer.zoo.sources.zoo import PRETRAINED, SHIPPED

KEPT = ("config.json", "history.jsonl", "predictions.safetensors", "outcome.json")
SCORED = 200  # test examples on which heads are scored
CHECKED = 100  # of these at every other checkpoint


def build(name: str, on_step: Callable[[Any], None] = lambda step: None, into: Path = SHIPPED) -> Card:
    """Train by the recipe, keep the best checkpoint in half precision, and measure it as it will be opened."""
    config = RECIPES[name]
    folder = into / name
    with tempfile.TemporaryDirectory() as draft:
        outcome = record(config, Path(draft), settings().device, on_step)
        folder.mkdir(parents=True, exist_ok=True)
        for kept in KEPT:
            if (Path(draft) / kept).exists():
                shutil.copyfile(Path(draft) / kept, folder / kept)
        card = Card.read(Path(draft) / "card.json")
        card = replace(
            card, ref=f"zoo:{name}", title=TITLES[name], made=f"python -m explorer.zoo build {name}: {card.made}"
        )
        files.write_json(folder / "card.json", card.to_json())
        if card.task in TEXT_TASKS:
            card = _language(card, Path(draft), outcome.best, folder)
        else:
            files.write(folder / "model.safetensors", halved(files.checkpoint(Path(draft), outcome.best)))
    if into == SHIPPED:
        card = replace(card, metrics=card.metrics | measured(card))
        files.write_json(folder / "card.json", card.to_json())
    return card


def _language(card: Card, draft: Path, best: int, folder: Path) -> Card:
    """Write a language model as transformers does, and what each of its heads does, at the end and on the way."""
    from explorer.attention.roles import course, score
    from explorer.zoo.own import open_weights, save_pretrained

    model = open_weights(card, files.checkpoint(draft, best))
    save_pretrained(model, folder / PRETRAINED, half=True)
    steps = files.checkpoints(draft)
    history = {
        step: course(score(open_weights(card, files.checkpoint(draft, step)), examples=CHECKED)) for step in steps
    }
    files.write_json(
        folder / "course.json",
        {step: {role: round(gain, 3) for role, gain in found.items()} for step, found in history.items()},
    )
    return card


def measured(card: Card) -> dict[str, float]:
    """What the card of a shipped model promises, measured on the model as the zoo opens it.

    Of networks with attention the best head's share of it for each role that it can have, above shuffled, is among it,
    and all scores of all heads are written beside the card.
    """
    if card.task in TEXT_TASKS:
        loss, accuracy = text_scores(card)
        found = {"test accuracy": accuracy, "test loss": loss}
        if card.task == "text2text-generation":
            found["answers wholly right"] = wholly_right(card)
    else:
        found = {"test accuracy": test_accuracy(card)}
    if card.attends:
        from explorer.attention.roles import course, score

        scores = score(load(card.ref), examples=SCORED)
        files.write_json(SHIPPED / card.ref.removeprefix("zoo:") / "roles.json", scores.to_json())
        found |= {f"head: {role}": round(gain, 3) for role, gain in course(scores).items()}
    return found


def text_scores(card: Card) -> tuple[float, float]:
    """Loss in nats and accuracy over the asked tokens of the test split, of a language model of ours."""
    import torch

    from explorer.models import MODELS
    from explorer.training.loop import Batches, scores

    test = data.load(card.dataset, "test", **card.dataset_settings)
    model = load(card.ref)
    with model.borrow() as net:
        network = MODELS[card.architecture].facts["wrap"](net)
        return scores(network, card.architecture, Batches(test, torch.device(model.device), (), ()))


def wholly_right(card: Card) -> float:
    """The share of test questions whose greedy answer is right to the last token."""
    import torch

    from explorer.data.text import END, IGNORED, PAD

    test = data.load(card.dataset, "test", **card.dataset_settings)
    source = torch.from_numpy(test.x.copy())
    model = load(card.ref)
    with model.borrow() as net, torch.inference_mode():
        said = (
            net.generate(
                source.to(model.device),
                attention_mask=source.ne(PAD).to(model.device),
                max_new_tokens=test.y.shape[1],
                do_sample=False,
                num_beams=1,
            )
            .cpu()
            .numpy()[:, 1:]
        )  # without the start
    right = 0
    for answer, truth in zip(said, test.y, strict=True):
        wanted = truth[truth != IGNORED].tolist()
        right += [*answer[: len(wanted)]] == wanted and wanted[-1] == END
    return right / len(test)


def halved(weights: Path) -> bytes:
    """A weights file in half precision; running statistics and other vectors stay as they are."""
    import torch
    from safetensors.torch import load_file, save

    state = load_file(weights)
    return save({name: tensor.to(torch.float16) if tensor.ndim > 1 else tensor for name, tensor in state.items()})


def test_accuracy(card: Card) -> float:
    """The share of the test split that the model, as the zoo opens it, names rightly."""
    test = data.load(card.dataset, "test", **card.dataset_settings)
    return float((load(card.ref).predict(test.x).argmax(1) == test.y).mean())
