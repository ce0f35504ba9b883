"""A picture that a unit wants: gradient ascent on the input, as a background job."""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from explorer.activations.base import CALL
from explorer.activations.capture import calm, first_tensor, watched
from explorer.activations.feed import dataset, feed, kind_of, opened
from explorer.activations.wants import class_token, units_last
from explorer.errors import ExplorerError
from explorer.jobs.study import Study
from explorer.runs import files
from explorer.zoo.model import Model

STEPS = (8, 1024)  # the fewest and the most
PICTURES = 6  # at once, at the most
RATE = 0.08  # of Adam
FRAMES = 12  # pictures of the way that are kept
COMPARED = 500  # examples that what is reached is compared with
NOISES = 32  # pictures of noise likewise
EVERY = 4  # steps between two blurs
SO_FAR = "sofar.npy"  # what is drawn so far
STUDY = Study("picture", "explorer.activations.visualise:run", "drawings")
GOALS = ("most", "least")
PLACES = ("mean", "centre")
SPREAD = 1e-3  # the least that activations are measured in
REGULARISERS = {  # switch → its title, what it does and where it comes from
    "fourier": (
        "Fourier space",
        "Colours the steps: a picture is the sum of its waves, each scaled as in natural pictures, so that no pixel is "
        "driven alone. Olah et al. 2017, Feature visualization, “Preconditioning and parameterization”.",
    ),
    "moved": (
        "Moved about",
        "At each step the picture is shifted, turned and scaled a little at random: what remains is what works "
        "wherever it lies. Olah et al. 2017, “Transformation robustness”.",
    ),
    "variation": (
        "Total variation",
        "Takes off the mean difference of neighbouring pixels. Mahendran and Vedaldi 2015, Understanding deep image "
        "representations by inverting them, section 2.",
    ),
    "decay": (
        "L2",
        "Takes off the mean square of what the network is given, so that pixels stay near the mean colour. Simonyan et "
        "al. 2014, Deep inside convolutional networks, section 2.",
    ),
    "blur": (
        "Blur",
        f"Blurs the picture by this many pixels every {EVERY} steps, which fine patterns do not survive. Yosinski et "
        "al. 2015, Understanding neural networks through deep visualization, section 3.",
    ),
    "diversity": (
        "Diversity",
        "Takes off how alike several pictures are to this layer (the cosine of their Gram matrices), so that they show "
        "different sides of the unit. Olah et al. 2017, “Diversity”.",
    ),
}


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn: pictures that drive one unit as far as they can."""

    ref: str
    layer: str
    unit: int
    goal: str = "most"  # or "least"
    place: str = "mean"  # of all positions (of a vision transformer: of its patches), or the one in the "centre"
    steps: int = 128
    pictures: int = 2
    seed: int = 0
    fourier: bool = True
    moved: bool = True
    variation: float = 0.0  # weights, beside the logarithm of how far the unit is driven beyond noise
    decay: float = 0.0
    blur: float = 0.0  # pixels
    diversity: float = 0.0

    def __post_init__(self) -> None:
        asked = f"A picture for unit {self.unit}"
        for name, offered in (("goal", GOALS), ("place", PLACES)):
            if getattr(self, name) not in offered:
                raise ExplorerError(asked, f"there is no {name} {getattr(self, name)!r}",
                                    f"Choose one of: {', '.join(offered)}")  # fmt: skip
        if not STEPS[0] <= self.steps <= STEPS[1]:
            raise ExplorerError(asked, f"{self.steps} steps are not {STEPS[0]} to {STEPS[1]:,}", "Choose some between")
        if not 1 <= self.pictures <= PICTURES:
            raise ExplorerError(asked, f"{self.pictures} pictures are not 1 to {PICTURES}", "Choose some between")
        if min(self.variation, self.decay, self.blur, self.diversity) < 0:
            raise ExplorerError(asked, "a weight is below zero", "Choose 0 or more")


@dataclass(frozen=True, eq=False)
class Drawn:
    """The pictures that were reached, P of them, and how: F frames on the way."""

    pictures: np.ndarray  # (P, H, W, C) uint8
    frames: np.ndarray  # (F, P, H, W, C) uint8, the first is the noise that it began with
    frame_steps: np.ndarray  # (F,)
    course: np.ndarray  # (steps + 1, P) the activation, of the picture as it is, before each step and at the end
    data: np.ndarray  # (N,) the same of the network's own examples; empty where these are not here
    best: int  # which example of these is driven furthest; -1 where there are none
    noise: np.ndarray  # (M,) the same of other pictures of noise
    before: bool  # whether it is the activation of what goes into the layer: a ReLU can't be driven below zero
    variations: np.ndarray  # (P,) mean difference of neighbouring pixels at the end, of values from 0 to 1

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))


def unfit(model: Model) -> str | None:
    """Why no picture can be drawn for this network, as a clause; None where one can."""
    if kind_of(model) == "image":
        return None
    return {
        "points": "its inputs are points of the plane: above, the unit is shown on all of them",
        "text": "its inputs are words, which have no gradient to climb: there is nothing between two of them",
        "noise": "it takes noised inputs, and what would be drawn is noise as well",
    }[kind_of(model)]


def visualise(
    asked: Drawing,
    on_step: Callable[[float], None] = lambda share: None,
    on_frame: Callable[[np.ndarray], None] = lambda pictures: None,
    model: Model | None = None,
) -> Drawn:
    """Change noise, step by step, into pictures that one unit answers to as strongly (or as weakly) as can be.

    The activation is climbed by Adam on the parameters of a picture: waves or pixels, decorrelated in colour by what
    the network's own data have, then squeezed between 0 and 1 by a sigmoid and normalised as the network's inputs are.
    Erhan et al. 2009, "Visualizing higher-layer features of a deep network", section 3; Olah et al. 2017, "Feature
    visualization", Distill. The same seed gives the same pictures. A ReLU is flat below zero: while it gives nothing at
    all to a picture, what goes into it is climbed instead, and for `least` always. What is climbed is the logarithm of
    how far the unit is beyond its mean over noise, so that the weights mean the same for every unit.
    Raises ExplorerError for a unit that there isn't, and for networks that read no pictures.
    """
    model = model or opened(asked.ref)
    why = unfit(model)
    if why:
        raise ExplorerError(f"A picture for a unit of {model.card.ref}", why, "Open a classifier of pictures")
    dice = torch.Generator().manual_seed(asked.seed)
    with model.borrow() as net, calm(net), torch.inference_mode(False):
        unit = _Unit(model, net, asked)
        colours = _colours(model)
        shape = (asked.pictures, *model.card.shape)
        parameters = _start(shape, asked.fourier, dice).to(model.device).requires_grad_(True)
        noise = _noise(model, asked, colours, dice)
        levels = unit.measured(noise)  # (M,)
        usual, spread = float(levels.mean()), max(float(levels.std()), SPREAD)
        climbing = torch.optim.Adam([parameters], RATE, betas=(0.9, 0.99))  # gradients shrink as the unit is driven
        course, frames, at = [], [], []
        keep = {round(step) for step in np.linspace(0, asked.steps, FRAMES)}
        for step in range(asked.steps):
            pixels = _pixels(parameters, shape, asked.fourier, colours)
            course.append(unit.measured(pixels.detach()))
            if step in keep:
                frames.append(_bytes(pixels))
                at.append(step)
                on_frame(frames[-1])
            given = _moved(pixels, dice) if asked.moved else pixels
            loss = unit.loss(given)
            reached = max(abs(unit.sign * float(loss.detach()) - usual), spread)
            loss = loss / reached + _penalty(asked, pixels, unit)  # its gradient is that of ln(reached)
            climbing.zero_grad()
            loss.backward(inputs=[parameters])
            climbing.step()
            if asked.blur and (step + 1) % EVERY == 0:
                _blur(parameters, shape, asked)
            on_step((step + 1) / asked.steps * 0.9)
        with torch.no_grad():
            pixels = _pixels(parameters, shape, asked.fourier, colours)
        course.append(unit.measured(pixels))
        data = unit.of_data()
        furthest = -1 if not len(data) else int((data if asked.goal == "most" else -data).argmax())
    return Drawn(
        pictures=_bytes(pixels),
        frames=np.stack([*frames, _bytes(pixels)]),
        frame_steps=np.array([*at, asked.steps]),
        course=np.stack(course),
        data=data,
        best=furthest,
        noise=levels,
        before=unit.before,
        variations=np.array([float(variation(one[None])) for one in pixels]),
    )


def variation(pixels: Tensor) -> Tensor:
    """The mean difference of neighbouring pixels, down and across: the anisotropic total variation; (P, C, H, W)."""
    return (pixels.diff(dim=2).abs().mean() + pixels.diff(dim=3).abs().mean()) / 2


def alike(states: Tensor) -> Tensor:
    """How alike the pictures are to a layer: the mean cosine of the Gram matrices of every two; states (P, …, K).

    Olah et al. 2017, "Feature visualization", section "Diversity". 0 for one picture.
    """
    if len(states) < 2:
        return states.new_zeros(())
    flat = states.reshape(len(states), -1, states.shape[-1])  # (P, places, K)
    gram = functional.normalize((flat.transpose(1, 2) @ flat).flatten(1), dim=1)  # (P, K * K)
    cosines = gram @ gram.T
    return (cosines.sum() - cosines.diagonal().sum()) / (len(states) * (len(states) - 1))


def start(asked: Drawing, owner: str) -> str:
    """Queue a drawing for a worker; returns the id under which it is found from now on.

    Raises ExplorerError where no job can be taken.
    """
    return STUDY.start(asdict(asked), owner)


def run(
    request: dict[str, Any], report: Callable[[dict[str, Any]], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """What a worker does: climb, leave each picture of the way, and the whole in the folder."""
    asked, place = Drawing(**request["asked"]), STUDY.folder(request["id"]) / SO_FAR

    def on_frame(pictures: np.ndarray) -> None:
        files.write(place, _saved(pictures))

    return STUDY.answer(request, report, stopping, lambda on_step: visualise(asked, on_step, on_frame))


def asked_of(id: str) -> Drawing:
    """What was asked; raises ExplorerError where there is no such drawing."""
    return Drawing(**STUDY.asked(id))


def found_of(id: str) -> Drawn | None:
    """What was drawn; None where it has not ended well."""
    return STUDY.found(id, Drawn)


def so_far(id: str) -> np.ndarray | None:
    """The pictures as they are on the way, (P, H, W, C) uint8; None before the first."""
    path = STUDY.folder(id) / SO_FAR
    return np.load(path, allow_pickle=False) if path.is_file() else None


class _Unit:
    """One unit of a borrowed network, as a number for each picture."""

    def __init__(self, model: Model, net: nn.Module, asked: Drawing) -> None:
        self.model, self.net, self.asked = model, net, asked
        self.part = asked.layer.partition(CALL)[0]
        if self.part not in dict(net.named_modules()):
            raise ExplorerError(
                f"The layer {asked.layer!r}", "this model has none of that name", "Choose another layer"
            )
        kind = type(net.get_submodule(self.part)).__name__
        self.flat = kind in ("ReLU", "ReLU6")
        self.before = self.flat and asked.goal == "least"
        self.sign = 1 if asked.goal == "least" else -1  # of what is to fall
        self.states = torch.zeros(0)  # of the last pass
        self.one(torch.full((1, *model.card.shape), 0.5, device=model.device))

    def one(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The unit's answers to pictures between 0 and 1, and what went into the layer, (P,) each."""
        mean, std = (pixels.new_tensor(values).view(-1, 1, 1) for values in (self.model.card.mean, self.model.card.std))
        with watched(self.net, [self.part], graph=True) as calls:
            self.net((pixels - mean) / std)
        call = next((call for call in calls if call.name == self.asked.layer), None)
        if call is None:
            raise ExplorerError(
                f"The layer {self.asked.layer!r}", "it did not run in this pass", "Choose another layer"
            )
        output, given = call.tensors
        self.states = self._checked(output, type(call.part).__name__, len(pixels))
        answers = self._value(self.states)
        inside = self._value(self._checked(given, type(call.part).__name__, len(pixels))) if self.flat else answers
        return answers, inside

    def loss(self, pixels: Tensor) -> Tensor:
        """What is to fall: the answer with its sign, the mean over the pictures."""
        answers, inside = self.one(pixels)
        if self.before:
            return inside.mean()
        if self.flat:
            answers = torch.where(answers > 0, answers, inside)
        return answers.mean() * self.sign

    @torch.no_grad()
    def measured(self, pixels: Tensor) -> np.ndarray:
        """The answers as they are told, (P,)."""
        answers, inside = self.one(pixels)
        return (inside if self.before else answers).float().cpu().numpy()

    def of_data(self) -> np.ndarray:
        """The answers to the network's own test examples, (N,)."""
        found = dataset(self.model)
        if found is None:
            return np.zeros(0, np.float32)
        told = []
        for first in range(0, min(COMPARED, len(found)), 50):
            x = feed(self.model, found.x[first : min(first + 50, COMPARED)]).inputs["x"]
            mean, std = (x.new_tensor(values).view(-1, 1, 1) for values in (self.model.card.mean, self.model.card.std))
            told.append(self.measured(x * std + mean))
        return np.concatenate(told)

    def _checked(self, states: Tensor | None, kind: str, count: int) -> Tensor:
        states = first_tensor(states)
        asked = f"The units of {self.asked.layer}"
        if states is None or states.ndim < 2 or len(states) != count or not states.is_floating_point():
            raise ExplorerError(asked, "it gives out no numbers for each picture", "Choose another layer")
        states = units_last(states, kind)
        if not 0 <= self.asked.unit < states.shape[-1]:
            raise ExplorerError(f"Unit {self.asked.unit} of {self.asked.layer}", f"it has {states.shape[-1]} of them",
                                f"Choose 0 to {states.shape[-1] - 1}")  # fmt: skip
        return states

    def _value(self, states: Tensor) -> Tensor:
        """One number a picture: the mean over its places, or the value in the centre."""
        places = states[..., self.asked.unit]  # (P, …)
        if places.ndim == 2:  # tokens: without the class token, as a square where they fill one
            places = places[:, class_token(places.shape[1]) :]
            side = round(places.shape[1] ** 0.5)
            places = places.reshape(-1, side, side) if side * side == places.shape[1] else places
        if places.ndim == 1:
            return places
        if self.asked.place == "mean":
            return places.flatten(1).mean(1)
        for _ in range(places.ndim - 1):
            places = places[:, places.shape[1] // 2]
        return places


def _penalty(asked: Drawing, pixels: Tensor, unit: _Unit) -> Tensor:
    """What is taken off for pictures that are not as they should be."""
    total = pixels.new_zeros(())
    if asked.variation:
        total = total + asked.variation * variation(pixels)
    if asked.decay:
        mean, std = (pixels.new_tensor(values).view(-1, 1, 1) for values in (unit.model.card.mean, unit.model.card.std))
        total = total + asked.decay * ((pixels - mean) / std).square().mean()
    if asked.diversity:
        total = total + asked.diversity * alike(unit.states)
    return total


def _start(shape: tuple[int, ...], fourier: bool, dice: torch.Generator) -> Tensor:
    """The parameters of faint noise: (P, C, H, W // 2 + 1, 2) of waves, or (P, C, H, W) of pixels."""
    count, channels, height, width = shape
    if fourier:
        return torch.randn(count, channels, height, width // 2 + 1, 2, generator=dice) * 0.1
    return torch.randn(count, channels, height, width, generator=dice) * 0.1


def _frequencies(height: int, width: int, device: torch.device) -> Tensor:
    """How many waves fit into a pixel, (H, W // 2 + 1)."""
    down, across = torch.fft.fftfreq(height, device=device), torch.fft.rfftfreq(width, device=device)
    return (down[:, None] ** 2 + across[None] ** 2).sqrt()


def _pixels(parameters: Tensor, shape: tuple[int, ...], fourier: bool, colours: Tensor) -> Tensor:
    """Parameters as pictures between 0 and 1, (P, C, H, W)."""
    _, _, height, width = shape
    plain = parameters
    if fourier:  # each wave as strong as in natural pictures: as one over its frequency
        often = _frequencies(height, width, parameters.device).clamp(min=1 / max(height, width))
        waves = torch.view_as_complex(parameters) / often / max(height, width) ** 0.5
        plain = torch.fft.irfft2(waves, s=(height, width), norm="ortho")
    return torch.einsum("dc,nchw->ndhw", colours, plain).sigmoid()


def _colours(model: Model) -> Tensor:
    """(C, C) by which independent channels become as correlated as the colours of the network's own data."""
    channels = model.card.shape[0]
    found = dataset(model)
    if channels == 1 or found is None:
        return torch.eye(channels, device=model.device)
    pixels = torch.from_numpy(found.x[:100].astype(np.float32)).reshape(-1, channels) / 255
    covariance = torch.cov(pixels.T) + 1e-4 * torch.eye(channels)
    root = torch.linalg.cholesky(covariance)
    return (root / root.norm(dim=1).max()).to(model.device)


def _noise(model: Model, asked: Drawing, colours: Tensor, dice: torch.Generator) -> Tensor:
    """Pictures of noise of the kind that it begins with, as strong as pictures are, (M, C, H, W)."""
    shape = (NOISES, *model.card.shape)
    return _pixels(_start(shape, asked.fourier, dice).to(model.device) * 10, shape, asked.fourier, colours)


def _moved(pixels: Tensor, dice: torch.Generator) -> Tensor:
    """Every picture shifted by up to a sixteenth (a pixel at least), turned by up to 8° and scaled by up to a tenth."""
    count, _, height, width = pixels.shape
    shift = 2 * max(1 / 16, 1 / min(height, width))  # the grid goes from -1 to 1
    random = (torch.rand(count, 4, generator=dice) * 2 - 1).to(pixels)
    angle, scale = random[:, 0] * np.pi * 8 / 180, 1 + 0.1 * random[:, 1]
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = [torch.stack([cos, -sin, shift * random[:, 2]], 1), torch.stack([sin, cos, shift * random[:, 3]], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


@torch.no_grad()
def _blur(parameters: Tensor, shape: tuple[int, ...], asked: Drawing) -> None:
    """Blur what the pictures are made of by a Gaussian of so many pixels, waves and pixels alike."""
    _, _, height, width = shape
    kept = torch.exp(-2 * (np.pi * asked.blur * _frequencies(height, width, parameters.device)) ** 2)
    if asked.fourier:
        parameters.mul_(kept[..., None])
    else:
        parameters.copy_(torch.fft.irfft2(torch.fft.rfft2(parameters) * kept, s=(height, width)))


def _bytes(pixels: Tensor) -> np.ndarray:
    return (pixels.detach() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _saved(pictures: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, pictures, allow_pickle=False)
    return file.getvalue()
