"""`torchvision:`: its own weights, checked by their hash, and prompt refusals."""

import hashlib
import http.server
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from explorer import zoo
from explorer.errors import ExplorerError

NAME = "shufflenet_v2_x0_5"


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path on 127.0.0.1; `cut` ends every answer half-way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut = False
        self.chunked = False  # as a proxy sends it: without saying how long it is
        self.hits = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.hits += 1
        if self.server.chunked:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"ffff\r\nhalf of a chunk")
            self.close_connection = True
            return
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write((content or b"")[: len(content or b"") // 2 if self.server.cut else None])

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory) -> bytes:
    from torchvision import models

    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(models.get_model(NAME, weights=None).state_dict(), path)
    return path.read_bytes()


@pytest.fixture
def offered(server, weights_file, monkeypatch, tmp_path, shelf):
    """The weights on a local server, under a name that holds their hash; the path on the server."""
    path = f"/{NAME}-{hashlib.sha256(weights_file).hexdigest()[:8]}.pth"
    server.files[path] = weights_file
    point_to(monkeypatch, server.url + path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return path


def point_to(monkeypatch, url: str) -> None:
    from torchvision import models

    monkeypatch.setattr(models.get_model_weights(NAME).DEFAULT.value, "url", url)


def test_a_classifier_is_downloaded_once_and_opens_with_its_own_transform(offered, server, weights_file):
    from torchvision import models

    model = zoo.load(f"torchvision:{NAME}")
    assert zoo.load(f"torchvision:{NAME}") is model
    assert server.hits == 1
    assert len(model.labels) == 1000
    assert model.card.shape == (3, 224, 224)
    assert model.bytes >= model.card.bytes

    picture = np.random.default_rng(0).integers(0, 256, (250, 300, 3), dtype=np.uint8)
    x = models.get_model_weights(NAME).DEFAULT.transforms()(torch.from_numpy(picture).permute(2, 0, 1))[None]
    assert torch.equal(model.preprocess(picture), x)
    module = models.get_model(NAME, weights=models.get_model_weights(NAME).DEFAULT).eval()
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(model.predict(picture)), module(x).softmax(1))
    assert model.preprocess(Image.new("L", (10, 500))).shape == (1, 3, 224, 224)


def test_weights_other_than_their_name_says_are_refused_and_deleted(offered, server, tmp_path):
    server.files[offered] = server.files[offered][:-10] + b"0123456789"
    with pytest.raises(ExplorerError, match="they are damaged"):
        zoo.load(f"torchvision:{NAME}")
    assert not any((tmp_path / "torch").rglob("*.pth*"))


def test_a_download_that_breaks_off_leaves_nothing_and_works_the_next_time(offered, server, tmp_path):
    server.cut = True
    with pytest.raises(ExplorerError, match="could not be downloaded"):
        zoo.load(f"torchvision:{NAME}")
    assert not any((tmp_path / "torch").rglob("*.pth*"))
    server.cut = False
    assert zoo.load(f"torchvision:{NAME}").card.parameters == 1_366_792


def test_an_answer_that_breaks_off_within_a_chunk_is_said_as_well(offered, server, tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "protocol_version", "HTTP/1.1")
    server.chunked = True
    with pytest.raises(ExplorerError, match="could not be downloaded"):
        zoo.load(f"torchvision:{NAME}")
    assert not any((tmp_path / "torch").rglob("*.pth*"))


def test_no_network_and_no_file_are_said_within_seconds(offered, server, monkeypatch):
    start = time.perf_counter()
    server.files.clear()
    with pytest.raises(ExplorerError, match=r"could not be downloaded.*Not Found"):
        zoo.load(f"torchvision:{NAME}")
    point_to(monkeypatch, f"http://127.0.0.1:1/{NAME}-00000000.pth")
    with pytest.raises(ExplorerError, match=r"could not be downloaded.*refused"):
        zoo.load(f"torchvision:{NAME}")
    point_to(monkeypatch, f"http://nowhere.invalid/{NAME}-00000000.pth")
    with pytest.raises(ExplorerError, match="could not be downloaded"):
        zoo.load(f"torchvision:{NAME}")
    assert time.perf_counter() - start < 30


def test_weights_that_run_code_are_refused(offered, server, monkeypatch, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "harm"), "w")

    evil = tmp_path / "evil.pth"
    torch.save({"a": Evil()}, evil)
    path = f"/{NAME}-{hashlib.sha256(evil.read_bytes()).hexdigest()[:8]}.pth"
    server.files[path] = evil.read_bytes()
    point_to(monkeypatch, server.url + path)
    with pytest.raises((ExplorerError, pickle.UnpicklingError)):
        zoo.load(f"torchvision:{NAME}")
    assert not (tmp_path / "harm").exists()


def test_an_unknown_name_is_refused_with_near_ones(shelf):
    with pytest.raises(ExplorerError, match="resnet18"):
        zoo.load("torchvision:resnet19")
    with pytest.raises(ExplorerError, match="no classifier of that name"):
        zoo.load("torchvision:fasterrcnn_resnet50_fpn")


def test_a_classifier_above_the_limit_is_refused_before_the_download(offered, server, configure):
    configure(EXPLORER_PARAMETERS="1000")
    with pytest.raises(ExplorerError, match="1,366,792 parameters, and this server opens up to 1,000"):
        zoo.load(f"torchvision:{NAME}")
    configure(EXPLORER_IMAGE_SIDE="100")
    with pytest.raises(ExplorerError, match="224×224, and this server takes up to 100"):
        zoo.load(f"torchvision:{NAME}")
    configure(EXPLORER_STORE="1000")
    with pytest.raises(ExplorerError, match="takes 5 MB"):
        zoo.load(f"torchvision:{NAME}")
    assert server.hits == 0
