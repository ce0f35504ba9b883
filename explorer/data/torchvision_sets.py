"""The classics, through torchvision: already in the data folder, or downloaded where that is allowed."""

import os
import tempfile
import threading
import urllib.request
from concurrent.futures import Future
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from explorer.data.base import DATASETS, Dataset, divide
from explorer.errors import ExplorerError
from explorer.settings import settings

PATIENCE = 6  # seconds that a server may take to answer, or to send the next bytes
CHUNK = 2**18  # bytes
HELD_OUT = {"cifar10": 0.1, "fashion_mnist": 1 / 12, "mnist": 1 / 12}  # 5,000 pictures of train for validation


@DATASETS.register("cifar10", task="image", shape=(3, 32, 32), classes=10, photographs=True)
def cifar10(split: str, seed: int) -> Dataset:
    """60,000 small colour photographs of animals and vehicles, 32×32 pixels.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    return _load("cifar10", "CIFAR10", split, seed)


@DATASETS.register("fashion_mnist", task="image", shape=(1, 28, 28), classes=10, photographs=True)
def fashion_mnist(split: str, seed: int) -> Dataset:
    """70,000 grey pictures of clothes and shoes, 28×28 pixels.

    Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST", arXiv 1708.07747, 2017.
    """
    return _load("fashion_mnist", "FashionMNIST", split, seed)


@DATASETS.register("mnist", task="image", shape=(1, 28, 28), classes=10)
def mnist(split: str, seed: int) -> Dataset:
    """70,000 handwritten digits, 28×28 pixels.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document Recognition",
    Proc. IEEE, 1998.
    """
    return _load("mnist", "MNIST", split, seed)


def folder() -> Path:
    """Where torchvision looks for files and puts them."""
    return settings().data / "torchvision"


def _load(name: str, title: str, split: str, seed: int) -> Dataset:
    import torchvision

    kind = getattr(torchvision.datasets, title)
    found = _open(kind, name, train=split != "test")
    x = np.asarray(found.data)  # (N, H, W) or (N, H, W, 3) uint8
    x = x[..., None] if x.ndim == 3 else x
    y = np.asarray(found.targets, dtype=np.int64)
    if split != "test":
        validation, train = divide(y, (HELD_OUT[name],), np.random.default_rng(seed))
        chosen = train if split == "train" else validation
        x, y = x[chosen], y[chosen]
    labels = tuple(label.split(" - ")[0] for label in kind.classes) if hasattr(kind, "classes") else found.classes
    return Dataset(name, split, "image", np.ascontiguousarray(x), y, tuple(labels))


def _open(kind: Any, name: str, train: bool) -> Any:
    """torchvision's own object, from its files; they are fetched first where that is needed and allowed."""
    asked = f"The dataset {name!r}"
    try:
        return kind(folder(), train=train)
    except (RuntimeError, OSError) as missing:
        if settings().shared or settings().mode == "cpu-tiny":
            raise ExplorerError(
                asked, "its files are not on this server, which downloads none", _instead(kind)
            ) from missing
    except (ValueError, AssertionError) as damaged:
        raise ExplorerError(asked, "its files are damaged", f"Delete them in {_place(kind)} and try again") from damaged
    try:
        for file in _files(kind):
            _fetch(*file)
        return kind(folder(), train=train, download=True)  # finds the checked archives and unpacks them
    except (OSError, HTTPException, RuntimeError, ValueError, EOFError) as error:
        raise ExplorerError(asked, f"its files could not be downloaded ({error})", _instead(kind)) from error


def _files(kind: Any) -> list[tuple[list[str], Path, str]]:
    """Where each archive can be had, where it goes, and its MD5: all as torchvision itself knows them."""
    if hasattr(kind, "mirrors"):
        raw = folder() / kind.__name__ / "raw"
        return [([mirror + name for mirror in kind.mirrors], raw / name, md5) for name, md5 in kind.resources]
    return [([kind.url], folder() / kind.filename, kind.tgz_md5)]


def _fetch(addresses: list[str], path: Path, md5: str) -> None:
    """Download a file that torchvision would download, but never wait long for a dead network, as it would."""
    from torchvision.datasets.utils import check_integrity

    if check_integrity(path, md5):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    problem: Exception | None = None
    for address in addresses:
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file, _answer(address) as answer:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
            if not check_integrity(temporary, md5):
                raise OSError("what arrived is not the file that torchvision knows")
            os.replace(temporary, path)
            return
        except (OSError, HTTPException) as error:
            problem = error
        finally:
            Path(temporary).unlink(missing_ok=True)
    raise problem or OSError("there is no address for it")


def _answer(address: str) -> Any:
    """A server's answer, or OSError within PATIENCE: looking up its name has no time limit of its own."""
    result: Future[Any] = Future()

    def ask() -> None:
        try:
            result.set_result(urllib.request.urlopen(address, timeout=PATIENCE))
        except (OSError, HTTPException, ValueError) as error:
            result.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return result.result(timeout=PATIENCE)  # TimeoutError is an OSError


def _place(kind: Any) -> str:
    if settings().shared:
        return "the server's data folder"
    return str(folder() / (f"{kind.__name__}/raw" if hasattr(kind, "mirrors") else kind.base_folder))


def _instead(kind: Any) -> str:
    return (
        f"Put the files that you already have into {_place(kind)}, or choose digits or shapes, which need no download"
    )
