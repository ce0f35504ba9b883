"""What looking inside costs, beside the plain pass, in the same run."""

import json
import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from explorer import zoo
from explorer.activations import capture, cka, feed
from explorer.activations.embed import Selection
from explorer.activations.maps import ends, maps, order
from explorer.activations.modelmap import model_map
from explorer.activations.projecting import Asked, project
from explorer.ui.feature_maps import Detail, Overview, encode
from explorer.zoo.model import Model
from tests.activations import nets
from tests.benchmarks.timing import against

REPEATS = 15
EXAMPLES, POINTS = 500, 2000


def rows() -> Iterator[tuple[str, str, str]]:
    """(what, measured, target), one after the other."""
    model = _resnet18()
    given = feed(model)

    def plain() -> None:
        with model.borrow() as net, torch.no_grad():
            given.run(net)

    ratio, ours = against(lambda: capture(model, given), plain, REPEATS)
    yield (
        "`capture()` of all layers ÷ the plain pass, ResNet-18 at 224×224",
        f"{ratio:.2f} ({1000 * ours:.0f} ms)",
        "≤ 1.3",
    )
    ratio, ours = against(lambda: capture("zoo:shapes-resnet"), lambda: _plain("zoo:shapes-resnet"), REPEATS)
    yield "the same, `zoo:shapes-resnet`", f"{ratio:.2f} ({1000 * ours:.1f} ms)", ""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        model_map("zoo:shapes-resnet")
        taken.append(time.perf_counter() - start)
    yield "the map of `zoo:shapes-resnet`, with FLOPs and measured times", f"{statistics.median(taken):.2f} s", ""
    for other in ("zoo:shapes-shortcut", "zoo:shapes-vit"):
        start = time.perf_counter()
        found = cka(other, "zoo:shapes-resnet", count=EXAMPLES)
        took = time.perf_counter() - start
        size = "×".join(map(str, found.matrix.shape))
        yield f"CKA of `{other}` and `zoo:shapes-resnet`, {size} layers, {EXAMPLES} examples", f"{took:.1f} s", "≤ 5 s"
    yield "a layer of 64 maps of 32×32, sent to the browser", f"{_sent(model, 32) / 1000:.0f} KB", "≤ 200 KB"
    yield "a layer of 64 maps of 112×112, drawn smaller", f"{_sent(model, 112) / 1000:.0f} KB", "≤ 200 KB"
    asked = Asked(Selection("zoo:points-diffusion", POINTS), "t-SNE")
    start = time.perf_counter()
    project(asked)
    yield f"t-SNE of {POINTS:,} points, as its job does it", f"{time.perf_counter() - start:.1f} s", ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    yield "peak memory of all this, libraries included", f"{peak:.0f} MB", ""


def _resnet18() -> Model:
    import torchvision

    return nets.model(torchvision.models.resnet18(weights=None, num_classes=10), (3, 224, 224), 10)


def _plain(ref: str) -> None:
    model = zoo.load(ref)
    given = feed(model)
    with model.borrow() as net, torch.no_grad():
        given.run(net)


def _sent(model: Model, side: int) -> int:
    """Bytes of a layer of 64 maps of that side, one of them large, on their way to the browser."""
    (layer,) = capture(model, layers=["bn1"]).layers
    units = maps(replace(layer, output=layer.output[:, :, :side, :side]), (224, 224))
    overview = Overview(units, order(units), ends(units, "local"), ("",) * len(units))
    return len(json.dumps(encode(overview, Detail(0, *units.peak(0)))))


if __name__ == "__main__":
    for row in rows():
        print("| " + " | ".join(row) + " |", flush=True)
