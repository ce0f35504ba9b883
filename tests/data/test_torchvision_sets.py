import gzip
import hashlib
import io
import time
import urllib.error

import numpy as np
import pytest

from explorer import data
from explorer.data import torchvision_sets
from explorer.errors import ExplorerError
from explorer.settings import settings


@pytest.fixture
def offline(monkeypatch):
    """No server answers."""

    def refuse(address, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torchvision_sets.urllib.request, "urlopen", refuse)


@pytest.mark.usefixtures("torchvision_files", "offline")
@pytest.mark.parametrize(
    ("name", "sizes", "label"),
    [
        ("mnist", (110, 10, 40), "zero"),
        ("fashion_mnist", (110, 10, 40), "T-shirt/top"),
        ("cifar10", (180, 20, 40), "airplane"),
    ],
)
def test_files_that_are_there_are_read_without_a_network(name, sizes, label):
    assert tuple(len(data.load(name, split)) for split in data.SPLITS) == sizes
    assert label.startswith(data.load(name, "test").labels[0]) or data.load(name, "test").labels[0] == "0"


@pytest.mark.usefixtures("torchvision_files")
def test_pictures_are_those_of_the_files():
    raw = (torchvision_sets.folder() / "MNIST" / "raw" / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert data.load("mnist", "test").x.tobytes() == raw


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_download_that_fails_says_what_to_do_instead(name):
    with pytest.raises(ExplorerError) as caught:
        data.load(name)
    assert name in caught.value.asked
    assert "Name or service not known" in caught.value.wrong
    assert str(torchvision_sets.folder()) in caught.value.do
    assert "digits" in caught.value.do
    assert not [path for path in torchvision_sets.folder().rglob("*") if path.is_file()]


def test_a_dead_network_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(torchvision_sets, "PATIENCE", 0.2)
    monkeypatch.setattr(torchvision_sets.urllib.request, "urlopen", lambda address, timeout: time.sleep(60))
    start = time.monotonic()
    with pytest.raises(ExplorerError, match="could not be downloaded"):
        data.load("mnist")
    assert time.monotonic() - start < 30  # two mirrors


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("variable", "value"), [("EXPLORER_SHARED", "1"), ("EXPLORER_MODE", "cpu-tiny")])
def test_a_shared_or_tiny_server_downloads_nothing(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    settings.cache_clear()
    with pytest.raises(ExplorerError, match="not on this server"):
        data.load("cifar10")


def test_a_download_is_checked_unpacked_and_read(monkeypatch, torchvision_files):
    from torchvision.datasets import MNIST

    raw = torchvision_files / "MNIST" / "raw"
    served = {f"{path.name}.gz": gzip.compress(path.read_bytes()) for path in raw.iterdir()}
    for path in raw.iterdir():
        path.unlink()
    sums = {name: hashlib.md5(content).hexdigest() for name, content in served.items()}
    monkeypatch.setattr(MNIST, "resources", [(name, sums[name]) for name, _ in MNIST.resources])
    asked = []

    def urlopen(address, timeout):
        asked.append(address)
        if address.startswith(MNIST.mirrors[0]):  # the first mirror answers with something else
            return io.BytesIO(b"<html>an error page</html>")
        return io.BytesIO(served[address.rsplit("/", 1)[1]])

    monkeypatch.setattr(torchvision_sets.urllib.request, "urlopen", urlopen)
    assert len(data.load("mnist", "test")) == 40
    assert len(asked) == 8
    assert np.bincount(data.load("mnist", "validation").y).tolist() == [1] * 10
    assert len(asked) == 8


@pytest.mark.usefixtures("offline")
def test_damaged_files_are_refused(torchvision_files):
    (torchvision_files / "MNIST" / "raw" / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0")
    with pytest.raises(ExplorerError, match="damaged"):
        data.load("mnist", "test")
