"""Draw the pictures of Home from real results: `python -m explorer.ui.assets`, ten seconds on two cores.

Every picture brings its own dark ground, so that it stands on a light and on a dark page alike.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from explorer import data, zoo
from explorer.charts.theme import DARK
from explorer.data import Dataset
from explorer.training import TrainConfig

HERE = Path(__file__).parent
GROUND, FAINT, INK = "#161E29", "#2B3645", "#E8EDF3"
BLUE, ORANGE = DARK.categorical[:2]
WIDTH, HEIGHT = 640, 400


@dataclass(frozen=True, eq=False)
class Film:
    """What one run did, and what it thought of the test digits on the way."""

    digits: Dataset
    loss: np.ndarray  # (steps,)
    accuracy: np.ndarray  # (epochs + 1, 2): epoch, share of the validation digits that are right
    beliefs: np.ndarray  # (frames, N, 10) class probabilities of each test digit, frames ever further apart


def train() -> Film:
    """Train the Training page's default, looking at the test digits ever more rarely."""
    from explorer.training.batches import Batches, channel_statistics
    from explorer.training.learner import prepare
    from explorer.training.loop import steps
    from explorer.training.scoring import probabilities

    config = TrainConfig()
    learner = prepare(config)
    digits = data.load("digits", "test")
    mean, std = channel_statistics(data.load("digits", "train"))
    test = Batches(digits, learner.device, mean, std)
    frames = {round(step) for step in learner.total * np.linspace(0, 1, 72) ** 2}
    loss, accuracy, beliefs = [], [], []
    for step in steps(config, learner):
        if step.loss is not None:
            loss.append(step.loss)
        if step.validation_accuracy is not None:
            accuracy.append((step.epoch, step.validation_accuracy))
        if step.step in frames:
            beliefs.append(probabilities(learner.kept, config.model, test))
            learner.model.train()
    return Film(digits, np.array(loss), np.array(accuracy), np.array(beliefs))


def belief(film: Film) -> str:
    """One digit, and how much the network believed in each class, from the first step (left) to the last."""
    guesses = film.beliefs.argmax(2)  # (frames, N)
    settled = film.beliefs[-1, np.arange(len(film.digits)), film.digits.y] > 0.95
    changes = (np.diff(guesses, axis=0) != 0).sum(0)  # (N,)
    index = int(np.where(settled, changes, 0).argmax())
    truth = film.digits.y[index]
    left, top, width, height = 300, 30, 316, 320
    rows = []
    for label in range(10):
        y = top + (label + 0.5) * height / 10
        rows.append(text(label, left - 14, y + 7, 22, ORANGE if label == truth else INK, "end"))
    probabilities = film.beliefs[:, index].T  # (10, frames)
    strip = paint(probabilities)
    strip[truth] = paint(probabilities[truth], (DARK.sequential[0], "#6E3E1C", ORANGE, "#FBC79A"))
    return svg(
        picture(film.digits.x[index, :, :, 0], 30, 92, 216),
        *rows,
        image(strip, left, top, width, height),
        text("first step", left, 382, 20, INK, "start", 0.7),
        text("last step", left + width, 382, 20, INK, "end", 0.7),
    )


def curves(film: Film) -> str:
    """Loss and accuracy of the run, beside some of the digits it learned from."""
    left, top, width, height = 224, 40, 384, 312
    loss = np.convolve(film.loss, np.ones(5) / 5, "valid")
    x = left + np.linspace(0, width, len(loss))
    falls = line(x, top + height * (1 - loss / loss.max()), BLUE)
    epochs, right = film.accuracy.T
    climbs = line(left + width * epochs / epochs[-1], top + height * (1 - right), ORANGE)
    grid = [
        f'<path d="M{left} {top + height * part}h{width}" stroke="{FAINT}" stroke-width="1.5"/>'
        for part in (0, 0.25, 0.5, 0.75, 1)
    ]
    train = data.load("digits", "train")
    digits = [
        picture(train.x[index, :, :, 0], 30 + 56 * (index % 3), 40 + 66 * (index // 3), 48) for index in range(15)
    ]
    return svg(
        *digits,
        *grid,
        falls,
        climbs,
        text(f"accuracy {right[-1]:.1%}", left + width, 84, 24, ORANGE, "end"),
        text("loss", left + width, 334, 24, BLUE, "end"),
    )


def answers() -> str:
    """Test scenes, one of each shape, with what the shipped ResNet calls them; one that it gets wrong among them."""
    shapes = data.load("shapes", "test")
    sure = zoo.load("zoo:shapes-resnet").predict(shapes.x)  # (N, 10)
    guess = sure.argmax(1)
    right = guess == shapes.y
    shown = [np.flatnonzero(right & (shapes.y == label))[0] for label in range(10)]
    wrong = np.flatnonzero(~right)[0]
    shown[shapes.y[wrong]] = wrong
    parts = []
    for place, index in enumerate(shown):
        x, y = 34 + 118 * (place % 5), 34 + 176 * (place // 5)
        colour = BLUE if right[index] else ORANGE
        parts += [
            image(shapes.x[index], x, y, 100, 100),
            text(shapes.labels[guess[index]], x + 50, y + 128, 22, colour, "middle"),
            f'<rect x="{x}" y="{y + 140}" width="100" height="7" rx="3.5" fill="{FAINT}"/>',
            f'<rect x="{x}" y="{y + 140}" width="{100 * sure[index].max():.0f}" height="7" rx="3.5" fill="{colour}"/>',
        ]
    return svg(*parts)


def evidence() -> str:
    """One scene as several methods explain it, each with the share of its evidence that lies on the object."""
    from explorer import attribution
    from explorer.attribution.measures import mass

    scenes = data.load("shapes", "test")
    index = 7
    mask, grey = scenes.masks[index], scenes.x[index].mean(2, keepdims=True)  # (H, W, 1)
    parts = [image(scenes.x[index], 45, 16, 150, 150), text("the picture", 120, 194, 20, INK, "middle")]
    shown = ("integrated_gradients", "grad_cam", "smoothgrad", "sobel", "random")
    for place, method in enumerate(shown, 1):
        found = attribution.attribute("zoo:shapes-resnet", scenes.x[index], method)
        values = found.scores / np.quantile(np.abs(found.scores), 0.995)
        strength = np.clip(np.abs(values), 0, 1)[..., None] ** 0.7
        colours = paint((np.clip(values, -1, 1) + 1) / 2, DARK.diverging)
        drawn = (0.45 * grey * (1 - strength) + colours * strength).astype(np.uint8)
        x, y = 45 + 200 * (place % 3), 16 + 194 * (place // 3)
        title = attribution.METHODS[method].facts["title"]
        known = method in ("sobel", "random")
        parts += [
            image(drawn, x, y, 150, 150),
            text(title.replace("Integrated", "Int."), x + 75, y + 178, 20, INK, "middle"),
            f'<rect x="{x + 96}" y="{y}" width="54" height="30" fill="{GROUND}" opacity="0.85"/>',
            text(f"{mass(found.scores, mask):.0%}", x + 145, y + 22, 21, INK if known else ORANGE, "end"),
        ]
    return svg(*parts)


def heads() -> str:
    """A sentence as that head of the shipped decoder reads it which knows whom words mean: before a plural verb, and
    before “their”, it looks at the bears.
    """
    from explorer.attention import attend
    from explorer.attention.roles import recorded

    found = attend("zoo:story-gpt", "the bears that the cat follows find boris with their mother .")
    weights = found.weights[recorded(found.ref).parts["self"].head("coreference")][1:, 1:]  # (Q, K), without [START]
    meant = found.tokens.index("bears") - 1
    telling = [row for row in np.flatnonzero(weights[:, meant] > 0.5) if row != meant]
    top, step, left, right = 34, 31.5, 210, 430
    parts = []
    for query, key in sorted(np.argwhere(weights > 0.1), key=lambda place: place[0] in telling and place[1] == meant):
        y, other = top + step * query - 7, top + step * key - 7
        said = query in telling and key == meant
        parts.append(
            f'<path d="M{left + 12} {y}C{left + 120} {y} {right - 120} {other} {right - 12} {other}" fill="none" '
            f'stroke="{ORANGE if said else BLUE}" stroke-width="{5 if said else 3}" stroke-linecap="round" '
            f'opacity="{weights[query, key] * (1 if said else 0.7):.2f}"/>'
        )
    for row, token in enumerate(found.tokens[1:]):
        parts.append(text(token, left, top + step * row, 22, ORANGE if row in telling else INK, "end"))
        parts.append(text(token, right, top + step * row, 22, ORANGE if row == meant else INK, "start"))
    return svg(*parts)


def out_of_noise() -> str:
    """A prompt as it is drawn: above the states from noise to sample, below what the network believed at each."""
    from explorer.diffusion import frames, sample

    prompt = "a red ring left of a blue star"
    found = sample("zoo:shapes-diffusion", "ddim", 20, 4.0, prompt, 0)
    model = zoo.load(found.ref)
    parts = [text(f"“{prompt}”", WIDTH / 2, 44, 26, INK, "middle")]
    rows = (("state", frames.states(model, found)), ("believed", frames.believed(model, found)))
    for row, (name, shown) in enumerate(rows):
        for place, at in enumerate((0, 5, 10, 15, 20)):
            x, y = 34 + 118 * place, 70 + 152 * row
            parts.append(image(shown.pictures[at], x, y, 104, 104))
            if row == 0:
                parts.append(text(f"step {at}", x + 52, y + 130, 19, FAINT if at == 0 else INK, "middle"))
        parts.append(text(name, 34, 70 + 152 * row - 8, 17, ORANGE if row else BLUE, "start"))
    return svg(*parts)


def layers() -> str:
    """One scene, and the maps of four layers on the way to its answer that vary most, from edges to objects."""
    from explorer.activations import capture

    model, index = zoo.load("zoo:shapes-resnet"), 3
    scene = data.load("shapes", "test").x[index]
    found = capture(model, scene)
    shown = [layer for layer in found if layer.kind in ("ReLU", "BasicBlock") and "." in layer.name]
    steps = [shown[round(at)] for at in np.linspace(0, len(shown) - 1, 4)]
    parts = [
        image(scene, 30, 138, 124, 124),
        text(model.labels[int(found.answer.argmax())], 92, 292, 22, ORANGE, "middle"),
    ]
    for column, layer in enumerate(steps):
        maps = layer.output[0]  # (K, h, w)
        strongest = np.argsort(-maps.var((1, 2)), kind="stable")[:4]
        x = 186 + 112 * column
        parts.append(text(layer.name, x + 40, 34, 17, INK, "middle"))
        for row, unit in enumerate(strongest):
            parts.append(image(paint(maps[unit] / maps[unit].max()), x, 48 + 86 * row, 80, 80))
    return svg(*parts)


def sampling() -> bytes:
    """Four prompts drawn at once, state beside belief, as an animation for README."""
    from explorer.diffusion import export, frames, sample

    prompts = ["a red ring left of a blue star", "a white crescent above a pink heart",
               "a yellow cross", "a green disc right of an orange triangle"]  # fmt: skip
    found = sample("zoo:shapes-diffusion", "ddim", 30, 4.0, prompts, 1, len(prompts))
    model = zoo.load(found.ref)
    return export.animation([frames.states(model, found), frames.believed(model, found)], "WEBP")


def svg(*parts: str) -> str:
    """A picture of these parts on its own ground."""
    ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{GROUND}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def picture(pixels: np.ndarray, x: float, y: float, side: float) -> str:
    """A digit (8, 8) uint8 as white ink on the dark ground."""
    return image(paint(pixels / 255, ("#1B2430", "#F4F7FA")), x, y, side, side)


def paint(values: np.ndarray, colours: tuple[str, ...] = DARK.sequential) -> np.ndarray:
    """Amounts from 0 to 1, (H, W), as colours between the given ones, (H, W, 3) uint8."""
    stops = np.array([ImageColor.getrgb(colour) for colour in colours], float)  # (stops, 3)
    at = np.clip(values, 0, 1) * (len(stops) - 1)
    channels = [np.interp(at, np.arange(len(stops)), channel) for channel in stops.T]
    return np.stack(channels, -1).round().astype(np.uint8)


def image(pixels: np.ndarray, x: float, y: float, width: float, height: float) -> str:
    """Colours (H, W, 3) as sharp blocks inside the picture."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    code = base64.b64encode(file.getvalue()).decode()
    return (
        f'<image x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{code}"/>'
    )


def line(x: np.ndarray, y: np.ndarray, colour: str) -> str:
    """A curve through the points."""
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="4" stroke-linejoin="round"/>'


def text(content: object, x: float, y: float, size: int, colour: str, anchor: str, opacity: float = 1) -> str:
    """A few words."""
    return (
        f'<text x="{x}" y="{y:.0f}" font-family="Segoe UI, Helvetica, Arial, sans-serif" font-size="{size}" '
        f'font-weight="600" fill="{colour}" text-anchor="{anchor}" opacity="{opacity}">{content}</text>'
    )


if __name__ == "__main__":
    film = train()
    pictures = {
        "home": belief(film), "training": curves(film), "models": answers(), "attribution": evidence(),
        "attention": heads(), "diffusion": out_of_noise(), "activations": layers(),
    }  # fmt: skip
    for name, drawn in pictures.items():
        (HERE / f"{name}.svg").write_text(drawn, encoding="utf-8")
        print(HERE / f"{name}.svg")
    (HERE / "screens" / "sampling.webp").write_bytes(sampling())
