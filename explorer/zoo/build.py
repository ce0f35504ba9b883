"""Train a shipped model from scratch and put it in its folder, with everything its run recorded."""

import json
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
from explorer.zoo.card import GENERATION_TASKS, TEXT_TASKS, Card
from explorer.zoo.own import open_weights, save_pipeline, save_pretrained
from explorer.zoo.recipes import RECIPES, TITLES, Painting
from explorer.zoo.sources.zoo import PRETRAINED, SHIPPED

KEPT = (
    "config.json", "history.jsonl", "predictions.safetensors", "samples.safetensors", "frames.safetensors",
    "outcome.json",
)  # fmt: skip
SCORED = 200  # test examples on which heads are scored
CHECKED = 100  # of these at every other checkpoint


def build(name: str, on_step: Callable[[Any], None] = lambda step: None, into: Path = SHIPPED) -> Card:
    """Train by the recipe, keep the best checkpoint in half precision, and measure it as it will be opened."""
    config = RECIPES[name]
    folder = into / name
    if isinstance(config, Painting):
        return _painter(name, config, on_step, folder)
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
        elif card.task in GENERATION_TASKS:
            save_pipeline(
                open_weights(card, files.checkpoint(Path(draft), outcome.best)), folder / PRETRAINED, half=True
            )
        else:
            files.write(folder / "model.safetensors", halved(files.checkpoint(Path(draft), outcome.best)))
    if into == SHIPPED:
        card = replace(card, metrics=card.metrics | measured(card))
        files.write_json(folder / "card.json", card.to_json())
    return card


def _language(card: Card, draft: Path, best: int, folder: Path) -> Card:
    """Write a language model as transformers does, and what each of its heads does, at the end and on the way."""
    from explorer.attention.roles import course, score

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


def _painter(name: str, recipe: Painting, on_step: Callable[[Any], None], folder: Path) -> Card:
    """Train a text-to-image model and the judge of what it draws; write them as diffusers does, with what was told."""
    from safetensors.torch import save

    from explorer.zoo import shapes_judge, text_to_image

    told: list[dict[str, Any]] = []

    def tell(part: str) -> text_to_image.Tell:
        return lambda record: (told.append({"part": part, **record}), on_step(told[-1]))

    net = text_to_image.autoencoder(recipe, tell("autoencoder"))
    made = text_to_image.painter(recipe, net, tell("painter"))
    text_to_image.save(made, net, folder / PRETRAINED)
    judge = shapes_judge.train(tell("judge"), recipe.judge_steps)
    half = {key: value.half() if value.ndim > 1 else value for key, value in judge.state_dict().items()}
    files.write(folder / shapes_judge.FILE, save(half))
    files.write(folder / "told.jsonl", "".join(json.dumps(record) + "\n" for record in told).encode())
    parts = (net, made.unet, made.text_encoder)
    side = net.config.sample_size
    card = Card(
        ref=f"zoo:{name}", title=TITLES[name], task="text-to-image", architecture="UNet2DConditionModel",
        parameters=sum(weight.numel() for part in parts for weight in part.parameters()), shape=(3, side, side),
        labels=(), mean=(0.5,) * 3, std=(0.5,) * 3, dataset=text_to_image.DATASET, seed=recipe.seed,
        settings={
            "schedule": made.scheduler.config.beta_schedule,
            "predicts": made.scheduler.config.prediction_type,
            "guidance": 4.0,  # at which it is measured
        },
        made=f"python -m explorer.zoo build {name}: {recipe.autoencoder_steps:,} steps of an autoencoder, then "
        f"{recipe.steps:,} of a text encoder and a UNet on its latents and {recipe.layout_steps:,} in which much noise "
        f"counts more, AdamW, batch {recipe.batch}",
    )  # fmt: skip
    files.write_json(folder / "card.json", card.to_json())
    if folder.parent == SHIPPED:
        card = replace(card, metrics=measured(card))
        files.write_json(folder / "card.json", card.to_json())
    return card


def measured(card: Card) -> dict[str, float]:
    """What the card of a shipped model promises, measured on the model as the zoo opens it.

    Of networks with attention the best head's share of it for each role that it can have, above shuffled, is among it,
    and all scores of all heads are written beside the card.
    """
    if card.task in GENERATION_TASKS:
        from explorer.diffusion.measure import figures

        return figures(card.ref)
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
    from explorer.training.batches import Batches
    from explorer.training.scoring import scores

    test = data.load(card.dataset, "test", **card.dataset_settings)
    model = load(card.ref)
    with model.borrow() as net:
        network = MODELS[card.architecture].facts["wrap"](net)
        found = scores(network, card.architecture, Batches(test, torch.device(model.device), (), ()))
    return found.loss, found.accuracy


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
