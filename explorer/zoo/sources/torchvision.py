"""`torchvision:<name>`: the ImageNet classifiers of torchvision with their default weights."""

import difflib
import hashlib
import os
import re
import shutil
import tempfile
import urllib.request
from http.client import HTTPException  # an answer that breaks off may be one, which is no OSError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.zoo.card import Card
from explorer.zoo.refs import Ref
from explorer.zoo.sources.base import SOURCES, check_parameters, unavailable
from explorer.zoo.store import Found

if TYPE_CHECKING:
    from explorer.zoo.model import Model

TIMEOUT = 5  # seconds without a byte


@SOURCES.register("torchvision", form="torchvision:<name>", pattern=re.compile(r"(?P<name>[a-z0-9_]{1,60})"))
def find(ref: Ref) -> Found:
    """A classifier from torchvision, trained on ImageNet; its weights are downloaded once."""
    from torchvision import models

    names = models.list_models(module=models)
    if ref.name not in names:
        close = difflib.get_close_matches(ref.name, names, 3, 0.5)
        hint = f"; near it are {', '.join(close)}" if close else ""
        raise unavailable(ref, f"torchvision has no classifier of that name{hint}")
    weights = models.get_model_weights(ref.name).DEFAULT
    check_parameters(ref, weights.meta["num_params"])
    side, most = weights.transforms().crop_size[0], settings().limits.image_side
    if side > most:
        raise unavailable(ref, f"its pictures are {side}×{side}, and this server takes up to {most} a side")
    return Found(4 * weights.meta["num_params"], lambda: _load(ref, weights))


def _load(ref: Ref, weights: Any) -> "Model":
    from torchvision import models

    from explorer.zoo.model import Model

    fetch(ref, weights.url)
    # torchvision unpickles its own files without asking for weights only. Reading them once with that restriction
    # proves that they hold nothing else.
    weights.get_state_dict(progress=False, weights_only=True)
    module = models.get_model(ref.name, weights=weights, progress=False)
    prepare = weights.transforms()
    side = prepare.crop_size[0]
    card = Card(
        ref=str(ref),
        title=f"{ref.name} from torchvision",
        task="image-classification",
        dataset="ImageNet-1k",
        architecture=ref.name,
        parameters=weights.meta["num_params"],
        shape=(3, side, side),
        labels=weights.meta["categories"],
        mean=prepare.mean,
        std=prepare.std,
        resize=f"shorter side to {prepare.resize_size[0]}, then the middle {side}×{side}",
        made=f"torchvision's {weights}, see {weights.meta['recipe']}",
        metrics={
            f"{name} on {dataset}": value / 100
            for dataset, values in weights.meta["_metrics"].items()
            for name, value in values.items()
        },
    )
    return Model(card, module.to(settings().device), prepare)


def fetch(ref: Ref, url: str) -> Path:
    """The weights file at torchvision's address, downloaded unless it is there, its contents checked by its name.

    Raises ExplorerError within seconds when there is no network, and when the contents are not what the name says.
    """
    from torch import hub

    path = Path(hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _download(url, path)
        except (OSError, HTTPException) as error:  # URLError, a timeout and a full disk are all one
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise unavailable(ref, f"its weights could not be downloaded from {url} ({reason})") from error
    promised = re.search(r"-([0-9a-f]{8,})\.", path.name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if promised and not digest.startswith(promised[1]):
        path.unlink(missing_ok=True)
        raise ExplorerError(
            f"The weights {path.name}", "they are damaged, and have been deleted", "Open the model again to reload them"
        )
    return path


def _download(url: str, path: Path) -> None:
    """Download a file whole or not at all."""
    number, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(number, "wb") as file, urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            shutil.copyfileobj(answer, file)
            length = answer.headers["Content-Length"]
            if length and file.tell() != int(length):
                raise ConnectionError("the connection ended too early")
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)
