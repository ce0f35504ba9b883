"""Ask a network about a picture: open the case once, then let any number of methods answer."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer import zoo
from explorer.attribution import graph
from explorer.attribution.base import METHODS, Attribution, Case, Score, TimeIsUp, refuse
from explorer.attribution.layers import MapLayer, read_as_maps
from explorer.attribution.traits import traits
from explorer.errors import ExplorerError
from explorer.memory import out_of_memory
from explorer.params import check
from explorer.turns import TURNS
from explorer.zoo.model import Model

NUMBERS = 800_000  # that a batch of pictures may hold: 64 of 3×64×64, 5 of 3×224×224
SECONDS = 60.0  # that one method may take

warnings.filterwarnings("ignore", module="captum")  # it tells of every hook that it sets
log = logging.getLogger("explorer.attribution")


def attribute(
    ref: str,
    image: Any,
    method: str = "grad_cam",
    target: int | None = None,
    versus: int | None = None,
    layer: str = "",
    seed: int = 0,
    seconds: float = SECONDS,
    **settings: Any,
) -> Attribution:
    """How much each pixel of a picture speaks for a class, (H, W), as one method sees it.

    ref: an image classifier. image: as `Model.preprocess` takes it, one picture.
    target: a class; None takes the predicted one. versus: explain by how much the target exceeds this class.
    layer: for methods that read one; "" takes the automatic choice. seconds: after which it is cut off.
    Raises ExplorerError where the method, a setting or the layer does not go with the model.
    """
    with open_case(zoo.load(ref), image, target, versus, layer, seed) as case:
        return explain(case, method, seconds, **settings)


@contextmanager
def open_case(
    model: Model, image: Any, target: int | None = None, versus: int | None = None, layer: str = "", seed: int = 0
) -> Iterator[Case]:
    """A case over a private tree of the model, for the length of a `with`; arguments as of `attribute`."""
    classifies_pictures(model)
    x = model.preprocess(image)
    if len(x) != 1:
        raise ExplorerError("The picture", f"there are {len(x)} of them", "Give one")
    chosen = map_layer(model, layer)
    with model.borrow() as net, torch.inference_mode():
        logits = net(x)[0].float()  # (classes,)
    target = int(logits.argmax()) if target is None else target
    for name in (target, versus):
        if name is not None and not 0 <= name < len(model.labels):
            raise ExplorerError(
                f"Class {name}", f"{model.card.ref} has {len(model.labels)} classes", "Count from 0, and choose one"
            )
    if target == versus:
        raise ExplorerError("The difference between two classes", "they are the same class", "Choose two")
    with model.borrow() as net, torch.inference_mode(False), torch.enable_grad():
        working = [part for part in net.modules() if getattr(part, "inplace", False)]
        graph.in_place_off(net)
        score = Score(net, target, versus).eval()
        batch = max(1, NUMBERS // x[0].numel())
        generator = torch.Generator().manual_seed(seed)
        value = float(logits[target] - (0 if versus is None else logits[versus]))
        case = Case(model, score, x.clone(), seen(model, x), value, chosen, None, batch, generator)
        if chosen is None:
            yield case
        else:
            with read_as_maps(net, chosen) as maps:
                yield replace(case, maps=maps)
        for part in working:  # as it was lent
            part.inplace = True


def classifies_pictures(model: Model) -> None:
    """Raise ExplorerError for a model that takes anything else than pictures."""
    if model.card.task != "image-classification":
        raise ExplorerError(
            f"Explaining {model.card.ref}", "it takes no pictures", "Choose a network that classifies pictures"
        )


def explain(case: Case, method: str, seconds: float = SECONDS, **settings: Any) -> Attribution:
    """One method's answer to an open case; a method that runs out of time is cut off with what it had.

    Raises ExplorerError where it can't be used here, where it had nothing yet, or where memory is too small even for
    one example at a time.
    """
    entry = METHODS[method]
    values = check(entry.make, settings, entry.facts["title"])
    if wrong := unfit(case.model, method):
        raise refuse(method, wrong)
    seed = case.generator.initial_seed()
    start = TURNS.clock()
    meter = case.score.meter
    meter.passed, meter.deadline, meter.cut = 0, start + seconds, False
    try:
        scores, complete = _scores(case, method, values, seed)
    except TimeIsUp:
        raise ExplorerError(
            entry.facts["title"], f"it was cut off after {seconds:g} seconds", "Choose settings with a lower price"
        ) from None
    finally:
        took, evaluations = TURNS.clock() - start, meter.passed
        meter.deadline = float("inf")
    if not np.isfinite(scores).all():
        raise ExplorerError(entry.facts["title"], "its numbers overflow here", "Choose another method or another layer")
    return Attribution(
        ref=case.model.card.ref,
        method=method,
        settings=values,
        target=case.score.target,
        versus=case.score.versus,
        layer=case.layer.name if case.layer and entry.facts["layer"] else "",
        seed=seed,
        scores=scores,
        picture=case.picture.copy(),
        score=case.value,
        seconds=took,
        evaluations=evaluations,
        complete=complete,
    )


def _scores(case: Case, method: str, values: dict[str, Any], seed: int) -> tuple[np.ndarray, bool]:
    """The map of one method, (H, W), and whether it is whole; smaller batches where memory is short."""
    batch = case.batch
    while True:
        case.generator.manual_seed(seed)
        try:
            raw = METHODS[method].make(replace(case, batch=batch, x=case.x.detach()), **values)  # x: flags of its own
            return flat(raw, case.x.shape[-2:]), not case.score.meter.cut
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if batch == 1:
                raise ExplorerError(
                    METHODS[method].facts["title"], "memory is too small for it here", "Choose a smaller network"
                ) from error
        batch = max(1, batch // 4)
        log.warning("%s: out of memory, %d at a time now", method, batch)


def flat(raw: Tensor, size: tuple[int, int]) -> np.ndarray:
    """A map (H, W) float32 of what a method gave, (1, c, h, w): summed over channels, smoothly enlarged."""
    summed = raw.detach().float().sum(1, keepdim=True)  # (1, 1, h, w)
    if tuple(summed.shape[-2:]) != tuple(size):
        summed = torch.nn.functional.interpolate(summed, tuple(size), mode="bilinear", align_corners=False)
    return summed[0, 0].cpu().numpy().astype(np.float32)


def unfit(model: Model, method: str) -> str | None:
    """Why a method can't explain a model, as a clause; None where it can."""
    return METHODS[method].facts["unfit"](traits(model))


def price(model: Model, method: str, **settings: Any) -> int:
    """How many examples will pass through the network at the most, known before anything runs."""
    entry = METHODS[method]
    return entry.facts["price"](model.card.shape, **check(entry.make, settings, entry.facts["title"]))


def map_layers(model: Model) -> tuple[MapLayer, ...]:
    """The layers that CAMs can read, in the order in which they finish."""
    return traits(model).maps.layers


def map_layer(model: Model, name: str = "") -> MapLayer | None:
    """The layer of that name; "" takes the automatic choice, which is None where there is none."""
    found = traits(model).maps
    if not name:
        return found.chosen
    for layer in found.layers:
        if layer.name == name:
            return layer
    names = ", ".join(layer.name for layer in found.layers) or "none"
    raise ExplorerError(f"The layer {name!r}", f"{model.card.ref} has no maps of that name", f"It has: {names}")


def why(model: Model) -> str:
    """Why the automatic layer was chosen, as a clause; "" where there is none."""
    return traits(model).maps.reason


def seen(model: Model, x: Tensor) -> np.ndarray:
    """What the network sees of a prepared picture (1, C, H, W), as (H, W, C) uint8."""
    mean, std = (x.new_tensor(values).view(-1, 1, 1) for values in (model.card.mean, model.card.std))
    pixels = (x[0] * std + mean).clamp(0, 1) * 255
    return pixels.round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
