"""`hf:`: the whole way of a download, from a small server that answers as the Hub does."""

import json
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import pytest
from huggingface_hub import get_session
from huggingface_hub.utils import http_backoff

from explorer import zoo
from explorer.errors import ExplorerError
from explorer.zoo import catalogue
from explorer.zoo.card import RANKS
from explorer.zoo.sources import hf
from tests.zoo.conftest import save_text, save_tiny
from tests.zoo.hf_hub import COMMIT, Hub, point_to

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("hub") / "resnet"
    save_tiny(folder, "resnet")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def writers(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """Tiny language models by name, each a dict of files."""
    folder = tmp_path_factory.mktemp("hub")
    for kind in ("bert", "gpt2", "t5", "mamba"):
        save_text(folder / kind, kind)
    return {made.name: {path.name: path.read_bytes() for path in made.iterdir()} for made in folder.iterdir()}


@pytest.fixture
def hub(empty_hub, shelf, classifier, writers):
    """A hub with `tiny/resnet`, language models, and an empty folder for downloads."""
    empty_hub.repositories["tiny/resnet"] = {**classifier, "pytorch_model.bin": b"a pickle", "README.md": b"# tiny"}
    empty_hub.repositories |= {f"tiny/{name}": dict(files) for name, files in writers.items()}
    return empty_hub


def test_a_classifier_is_downloaded_and_predicts_as_its_files_do(hub, classifier, tmp_path):
    model = zoo.load("hf:tiny/resnet")
    assert sorted(hub.downloads) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert model.card.ref == "hf:tiny/resnet"
    assert COMMIT in model.card.made
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, content in classifier.items():
        (folder / name).write_bytes(content)
    np.testing.assert_array_equal(model.predict(PICTURE), zoo.load(f"file:{folder}").predict(PICTURE))


def test_a_revision_can_be_named_and_must_exist(hub):
    assert zoo.load(f"hf:tiny/resnet@{COMMIT}").card.ref == f"hf:tiny/resnet@{COMMIT}"
    with pytest.raises(ExplorerError, match="no revision 'v9'"):
        zoo.load("hf:tiny/resnet@v9")


def test_what_was_downloaded_before_opens_without_a_network(hub, configure, monkeypatch):
    before = zoo.load("hf:tiny/resnet").predict(PICTURE)
    configure()  # an empty store
    point_to(monkeypatch, "http://127.0.0.1:1")
    np.testing.assert_array_equal(zoo.load("hf:tiny/resnet").predict(PICTURE), before)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_no_network_is_said_within_seconds(hub, monkeypatch, url):
    point_to(monkeypatch, url)
    start = time.perf_counter()
    with pytest.raises(ExplorerError, match=r"can't be reached .* and it was not downloaded before"):
        zoo.load("hf:tiny/resnet")
    assert time.perf_counter() - start < 30


def test_a_hub_that_does_not_answer_is_given_up_within_seconds(hub, monkeypatch):
    import socket

    monkeypatch.setattr(hf, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_to(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.perf_counter()
        with pytest.raises(ExplorerError, match="can't be reached"):
            zoo.load("hf:tiny/resnet")
        assert time.perf_counter() - start < 20


def test_an_unknown_name_is_refused(hub):
    with pytest.raises(ExplorerError, match="no model of that name, or it is private"):
        zoo.load("hf:tiny/nothing")
    assert zoo.held() == []


def test_a_gated_model_is_refused(hub):
    hub.gated.add("tiny/resnet")
    with pytest.raises(ExplorerError, match="gated"):
        zoo.load("hf:tiny/resnet")


def test_pickled_weights_are_refused_before_any_download(hub, classifier):
    files = {name: content for name, content in classifier.items() if name != "model.safetensors"}
    hub.repositories["tiny/pickled"] = {**files, "pytorch_model.bin": b"x", "onnx/model.safetensors": b"x"}
    with pytest.raises(ExplorerError, match="pickled ones are not opened"):
        zoo.load("hf:tiny/pickled")
    assert hub.downloads == []


def test_a_server_that_goes_away_during_a_download_is_said(hub, monkeypatch):
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: real(min(seconds, 0.01)))  # the client's pauses between tries
    hub.cut.add("model.safetensors")
    with pytest.raises(ExplorerError, match="did not finish"):
        zoo.load("hf:tiny/resnet")
    assert zoo.held() == []


def test_damaged_weights_from_the_hub_are_refused(hub):
    content = hub.repositories["tiny/resnet"]["model.safetensors"]
    hub.repositories["tiny/resnet"]["model.safetensors"] = content[:-8]
    with pytest.raises(ExplorerError, match="can't open it"):
        zoo.load("hf:tiny/resnet")


def test_a_model_that_is_of_no_known_kind_is_refused(hub):
    config = json.loads(hub.repositories["tiny/resnet"]["config.json"]) | {"model_type": "chess"}
    hub.repositories["tiny/resnet"]["config.json"] = json.dumps(config).encode()
    with pytest.raises(ExplorerError, match="no image classifier"):
        zoo.load("hf:tiny/resnet")


def test_a_model_above_the_limit_is_refused_before_any_download(hub, configure):
    configure(EXPLORER_PARAMETERS="100")
    with pytest.raises(ExplorerError, match="this server opens up to 100"):
        zoo.load("hf:tiny/resnet")
    assert hub.downloads == []


def test_a_shared_server_opens_only_what_is_on_its_list(hub, configure, monkeypatch):
    configure(EXPLORER_SHARED="1")
    with pytest.raises(ExplorerError, match=r"shared: of the Hub it opens only \d+ models, .*microsoft/resnet-18"):
        zoo.load("hf:tiny/resnet")
    assert hub.downloads == []
    monkeypatch.setitem(hf.ALLOWED, "tiny/resnet", 10_000)
    with pytest.raises(ExplorerError, match="shared"):
        zoo.load("hf:tiny/resnet@main")
    assert zoo.load("hf:tiny/resnet").card.ref == "hf:tiny/resnet"


def test_nothing_but_named_files_is_fetched(hub, tmp_path):
    hub.repositories["tiny/resnet"]["evil.py"] = b"raise SystemExit"
    zoo.load("hf:tiny/resnet")
    assert {path.name for path in Path(tmp_path / "cache").rglob("*") if path.suffix in (".py", ".bin", ".md")} == set()


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_a_language_model_is_downloaded_whole(hub, writers, tmp_path, kind):
    hub.configured.add(f"tiny/{kind}")
    hub.repositories[f"tiny/{kind}"] |= {"pytorch_model.bin": b"a pickle", "tf_model.h5": b"x", "code.py": b"x"}
    model = zoo.load(f"hf:tiny/{kind}")
    assert sorted(hub.downloads) == sorted(writers[kind])  # configs, weights and tokenizer, and nothing else
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, content in writers[kind].items():
        (folder / name).write_bytes(content)
    other = zoo.load(f"file:{folder}")
    encoded = model.encode("the cat sat")
    assert encoded.tokens == other.encode("the cat sat").tokens
    np.testing.assert_array_equal(model.logits(encoded), other.logits(encoded))
    assert COMMIT in model.card.made


def test_a_language_model_opens_again_without_a_network(hub, configure, monkeypatch):
    before = zoo.load("hf:tiny/gpt2")
    configure()
    point_to(monkeypatch, "http://127.0.0.1:1")
    after = zoo.load("hf:tiny/gpt2")
    np.testing.assert_array_equal(after.logits(after.encode("cat")), before.logits(before.encode("cat")))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_download_that_breaks_off_is_said_then_and_later(hub, monkeypatch, file):
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: real(min(seconds, 0.01)))
    hub.cut.add(file)
    with pytest.raises(ExplorerError, match="did not finish"):
        zoo.load("hf:tiny/bert")
    assert zoo.held() == []
    point_to(monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(ExplorerError, match=r"can't be reached .* and it was not downloaded before"):
        zoo.load("hf:tiny/bert")
    assert zoo.held() == []


def test_a_download_goes_on_when_another_finds_no_connection(hub, monkeypatch):
    zoo.load("hf:tiny/resnet")
    shared = get_session()  # as a download holds it
    with pytest.raises(httpx2.ConnectError):
        http_backoff("GET", "http://127.0.0.1:1", max_retries=0)
    assert get_session() is not shared
    assert shared.get(f"{hub.url}/api/models/tiny/resnet").status_code == 200


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_after_a_download_that_broke_off_the_next_try_works(hub, monkeypatch, tmp_path, file):
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: real(min(seconds, 0.01)))
    hub.cut.add(file)
    with pytest.raises(ExplorerError, match="did not finish"):
        zoo.load("hf:tiny/resnet")
    assert not list((tmp_path / "cache").glob(f"*/snapshots/*/{file}"))  # no half of it
    again = Hub()  # the same address is not to be had again
    again.repositories = hub.repositories
    thread = threading.Thread(target=again.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        point_to(monkeypatch, again.url)
        assert zoo.load("hf:tiny/resnet").predict(PICTURE).shape == (1, 3)
        assert again.downloads.count(file) == 1
    finally:
        again.shutdown()
        thread.join()
        again.server_close()


def test_what_another_program_downloaded_in_part_is_said_without_a_network(hub, monkeypatch, tmp_path):
    from huggingface_hub import hf_hub_download

    for name in ("config.json", "model.safetensors"):
        assert Path(hf_hub_download("tiny/bert", name)).is_relative_to(tmp_path)
    point_to(monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(ExplorerError, match=r"can't be reached .*, and of its earlier download its tokenizer is miss"):
        zoo.load("hf:tiny/bert")


@pytest.mark.parametrize("configured", [True, False])
def test_a_language_model_without_a_tokenizer_is_refused(hub, configured):
    del hub.repositories["tiny/bert"]["tokenizer.json"]
    if configured:
        hub.configured.add("tiny/bert")
    with pytest.raises(ExplorerError, match="its tokenizer is missing"):
        zoo.load("hf:tiny/bert")
    assert ("model.safetensors" in hub.downloads) != configured  # where the Hub tells the config, before any download


def test_a_language_model_without_attention_is_refused_before_any_download(hub):
    hub.configured.add("tiny/mamba")
    with pytest.raises(ExplorerError, match="it has no attention"):
        zoo.load("hf:tiny/mamba")
    assert hub.downloads == []


def test_a_gated_language_model_is_refused(hub):
    hub.gated.add("tiny/gpt2")
    with pytest.raises(ExplorerError, match="gated"):
        zoo.load("hf:tiny/gpt2")


def test_a_language_model_above_the_limits_is_refused_before_any_download(hub, configure):
    configure(EXPLORER_PARAMETERS="5000")
    with pytest.raises(ExplorerError, match="this server opens up to 5,000"):
        zoo.load("hf:tiny/gpt2")
    configure(EXPLORER_STORE="20000")
    with pytest.raises(ExplorerError, match="keeps for models"):
        zoo.load("hf:tiny/gpt2")
    assert hub.downloads == []


def test_what_the_hub_counted_is_believed_but_masks_are_no_weights(hub, configure):
    configure(EXPLORER_PARAMETERS="20000")
    hub.counts["tiny/gpt2"] = {"F16": 12_896, "BOOL": 25_000_000, "U8": 1_000}
    hub.counts["tiny/bert"] = {"F32": 10_000, "BF16": 10_001}
    assert zoo.load("hf:tiny/gpt2").card.parameters == 12_896
    with pytest.raises(ExplorerError, match="it has 20,001 parameters"):
        zoo.load("hf:tiny/bert")


def test_the_catalogue_is_what_a_shared_server_opens(configure):
    names = [entry.name for entry in catalogue.CATALOGUE]
    assert len(set(names)) == len(names)
    listed = {entry.name: entry.parameters for entry in catalogue.CATALOGUE}
    assert listed == hf.ALLOWED
    for entry in catalogue.CATALOGUE:
        assert entry.task in RANKS
        assert zoo.parse(entry.ref).name == entry.name
        assert entry.bytes == 4 * entry.parameters
        assert entry.note
        assert not entry.note.endswith(".")
    fitting = {}
    for mode in ("cpu-tiny", "cpu"):
        configure(EXPLORER_MODE=mode)
        fitting[mode] = {entry.name for entry in catalogue.CATALOGUE if catalogue.fits(entry)}
    assert {"EleutherAI/pythia-14m", "WinKawaks/vit-tiny-patch16-224"} <= fitting["cpu-tiny"] < fitting["cpu"]
    assert "openai-community/gpt2" in fitting["cpu"] - fitting["cpu-tiny"]
    configure(EXPLORER_STORE="1000000")
    assert not any(map(catalogue.fits, catalogue.CATALOGUE))


@pytest.mark.parametrize("name", ["tiny/resnet.git", "tiny/resnet.", "tiny/resnet-"])
def test_a_name_that_the_hub_can_not_have_is_refused_in_a_sentence(hub, name):
    with pytest.raises(ExplorerError, match=r"no such names|no model of that name"):
        zoo.load(f"hf:{name}")


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_is_too_busy_is_as_good_as_none(hub, configure, status):
    before = zoo.load("hf:tiny/resnet").predict(PICTURE)
    configure()  # an empty store
    hub.busy = status
    np.testing.assert_array_equal(zoo.load("hf:tiny/resnet").predict(PICTURE), before)
    with pytest.raises(ExplorerError, match="was not downloaded before"):
        zoo.load("hf:tiny/other")
