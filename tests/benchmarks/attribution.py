"""What an explanation costs here, beside Captum and the grad-cam package alone, in the same run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import torch

from explorer.attribution import explain, open_case
from explorer.attribution.arena import DEFAULT
from tests.attribution.nets import picture_for
from tests.attribution.test_captum import EQUAL, OTHERWISE, TARGET, Direct
from tests.benchmarks.timing import against

REF = "zoo:shapes-resnet"
COLD = """
import json, resource, time
start = time.perf_counter()
from explorer import data
from explorer.attribution.arena import DEFAULT, Example, Question, ask
scene = data.load("shapes", "test").x[:1]
question = Question("zoo:shapes-resnet", Example("one", scene))
before = time.perf_counter()
ask(question, dict.fromkeys(DEFAULT, ()))
cold = time.perf_counter()
ask(Question("zoo:shapes-resnet", Example("another", scene)), dict.fromkeys(DEFAULT, ()))
warm = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([cold - start, before - start, warm - cold, peak]))
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """(what, measured, target), one after the other."""
    direct = Direct(REF)
    for method, (settings, call) in EQUAL.items():
        if (method, REF) in OTHERWISE:
            continue
        with open_case(direct.model, picture_for(direct.model), TARGET) as case:
            ratio, ours = against(
                lambda m=method, s=settings: explain(case, m, **s),
                lambda c=call: c(direct),
            )
        yield f"{method}: ours ÷ Captum alone, {REF}", f"{ratio:.2f} ({1000 * ours:.1f} ms)", "≤ 1.05"
    yield _grad_cam_package()
    done = subprocess.run([sys.executable, "-c", COLD], check=True, capture_output=True, text=True, env=os.environ)
    cold, imports, warm, peak = json.loads(done.stdout.splitlines()[-1])
    what = f"the default arena ({len(DEFAULT)} methods, {REF})"
    yield f"{what}, cold: torch imported, network opened", f"{cold:.2f} s ({imports:.2f} s before)", "≤ 2 s"
    yield f"{what}, warm", f"{warm:.2f} s", "≤ 0.2 s"
    yield f"{what}: most memory of the process", f"{peak:.0f} MB", ""


def _grad_cam_package() -> tuple[str, str, str]:
    what = "Grad-CAM: ours ÷ the grad-cam package, ResNet-18, 224×224"
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        return what, f"not measured ({error})", "≤ 0.5"
    from torchvision.models import resnet18

    from explorer.zoo.card import Card
    from explorer.zoo.model import Model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = resnet18(weights=None).eval()
    labels = tuple(map(str, range(1000)))
    card = Card("zoo:resnet18", "ResNet-18", "image-classification", "resnet18", 11_689_512, (3, 224, 224), labels,
                (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # fmt: skip
    model = Model(card, net)
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    x = model.preprocess(picture)
    with open_case(model, picture, TARGET) as case, GradCAM(net.requires_grad_(True), [net.layer4[-1]]) as package:
        ratio, ours = against(
            lambda: explain(case, "grad_cam"),
            lambda: package(input_tensor=x, targets=[ClassifierOutputTarget(TARGET)]),
        )
    return what, f"{ratio:.2f} ({1000 * ours:.1f} ms)", "≤ 0.5"


if __name__ == "__main__":
    for row in rows():
        print("| " + " | ".join(row) + " |", flush=True)
