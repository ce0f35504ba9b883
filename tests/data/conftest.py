"""Data sets small enough for tests: drawn ones shrunk, torchvision's written by us in their real formats."""

import pickle

import numpy as np
import pytest

from explorer.data import base, dates, orders, shapes, shapes_captions, shapes_prompts, story
from explorer.settings import MB, settings
from explorer.store import Store


@pytest.fixture(autouse=True)
def fresh_store(monkeypatch):
    """Nothing that another test loaded is held, and nothing of this test afterwards."""
    monkeypatch.setattr(base, "_store", Store(lambda: 100 * MB))


@pytest.fixture
def small(monkeypatch):
    """Fewer pictures to draw and texts to write."""
    for module in (shapes, shapes_captions, shapes_prompts, story, dates, orders):
        monkeypatch.setattr(module, "SIZES", {"train": 100, "validation": 30, "test": 40})


@pytest.fixture
def torchvision_files(monkeypatch):
    """Tiny MNIST, FashionMNIST and CIFAR-10 in the data folder, in the formats of the real ones."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import calculate_md5

    rng, home = np.random.default_rng(0), settings().data / "torchvision"
    for name in ("MNIST", "FashionMNIST"):
        raw = home / name / "raw"
        raw.mkdir(parents=True)
        for part, size in (("train", 120), ("t10k", 40)):
            pictures = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
            _idx(raw / f"{part}-images-idx3-ubyte", pictures)
            _idx(raw / f"{part}-labels-idx1-ubyte", np.arange(size, dtype=np.uint8) % 10)
    batches = home / CIFAR10.base_folder
    batches.mkdir()
    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]
    for name in names:
        pixels = rng.integers(0, 256, (40, 3072), dtype=np.uint8)
        (batches / name).write_bytes(pickle.dumps({"data": pixels, "labels": [index % 10 for index in range(40)]}))
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": classes}))
    sums = {path.name: calculate_md5(path) for path in batches.iterdir()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in names[:-1]])
    monkeypatch.setattr(CIFAR10, "test_list", [[names[-1], sums[names[-1]]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return home


def _idx(path, array):
    """Write the format of MNIST: a magic number with the type and dimensions, the sizes, the bytes."""
    header = np.array([0x0800 + array.ndim, *array.shape], ">i4")
    path.write_bytes(header.tobytes() + array.tobytes())
