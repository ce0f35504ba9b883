"""`hf:` opens diffusion pipelines, from a small server that answers as the Hub does.

python -m pytest tests/zoo/test_hf_diffusion.py
"""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from explorer import zoo
from explorer.errors import ExplorerError
from explorer.zoo.sources import hf
from tests.diffusion import nets
from tests.zoo.conftest import save_tiny, write_own
from tests.zoo.hf_hub import COMMIT, point_to

UNET = "unet/diffusion_pytorch_model.safetensors"
CLUTTER = (
    "README.md", "pipeline.py", "v1-5.safetensors", "diffusion_pytorch_model.safetensors", "v1-5.ckpt",
    "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors", "unet/model.onnx",
    "unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_flax_model.msgpack",
    "text_encoder/model.fp16.safetensors", "text_encoder/pytorch_model.bin", "vae_decoder/model.onnx",
    "safety_checker/config.json", "safety_checker/model.safetensors", "feature_extractor/preprocessor_config.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """Tiny pipelines by their kind, each a dict of files."""
    folder = tmp_path_factory.mktemp("hub")
    for kind in ("free", "classes", "guided", "prompts", "points"):
        nets.save(folder / kind, kind)
    return {made.name: read(made) for made in folder.iterdir()}


@pytest.fixture
def hub(empty_hub, shelf, pipelines):
    """A hub with `tiny/free`, `tiny/prompts`, …"""
    empty_hub.repositories |= {f"tiny/{kind}": dict(files) for kind, files in pipelines.items()}
    return empty_hub


def read(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(folder: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return f"file:{folder}"


def index(hub, kind: str, **values) -> None:
    files = hub.repositories[f"tiny/{kind}"]
    files["model_index.json"] = json.dumps(json.loads(files["model_index.json"]) | values).encode()


def answer(ref: str, condition=None) -> np.ndarray:
    """What a network says of a state that is the same for all."""
    model = zoo.load(ref)
    with model.borrow() as parts, torch.inference_mode():
        asked = model.ask(parts, condition, 1)
        x = torch.linspace(-1, 1, int(np.prod(model.x_shape))).reshape(1, *model.x_shape)
        return model.answer(parts, x, torch.tensor(500), asked.given).numpy()


@pytest.mark.parametrize(
    ("kind", "condition"),
    [("free", None), ("classes", 1), ("guided", None), ("prompts", "a red ring"), ("points", None)],
)
def test_a_pipeline_is_downloaded_and_answers_as_its_folder_does(hub, pipelines, tmp_path, kind, condition):
    hub.repositories[f"tiny/{kind}"] |= dict.fromkeys(CLUTTER, b"x")
    index(hub, kind, safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    ours = answer(f"hf:tiny/{kind}", condition)
    assert sorted(hub.downloads) == sorted(pipelines[kind])  # the parts that are opened, and nothing else
    np.testing.assert_array_equal(ours, answer(write(tmp_path / "copy", pipelines[kind]), condition))
    card = zoo.load(f"hf:tiny/{kind}").card
    assert card.ref == f"hf:tiny/{kind}"
    assert COMMIT in card.made


def test_the_oldest_pipelines_have_their_network_beside_the_index(hub, pipelines):
    """google/ddpm-cifar10-32 is one: no folders, and attention under its old names."""
    files = {name.rpartition("/")[2]: content for name, content in pipelines["free"].items()}
    weights = load(files["diffusion_pytorch_model.safetensors"])
    for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
        weights = {name.replace(f".{new}.", f".{old}."): value for name, value in weights.items()}
    files["diffusion_pytorch_model.safetensors"] = save(weights)
    assert files.keys() == {
        "model_index.json", "config.json", "diffusion_pytorch_model.safetensors", "scheduler_config.json",
    }  # fmt: skip
    hub.repositories["tiny/old"] = files | {"diffusion_pytorch_model.bin": b"x", "images/one.png": b"x"}
    np.testing.assert_array_equal(answer("hf:tiny/old"), answer("hf:tiny/free"))
    assert set(files) <= set(hub.downloads)
    assert not {"diffusion_pytorch_model.bin", "images/one.png"} & set(hub.downloads)


def test_a_tokenizer_of_two_files_is_enough(hub, tmp_path):
    """Stable Diffusion has no tokenizer.json."""
    files = hub.repositories["tiny/prompts"]
    for name in [name for name in files if name.startswith("tokenizer/")]:
        del files[name]
    words = ["<|startoftext|>", "<|endoftext|>", *(letter + end for letter in "abdrt" for end in ("", "</w>"))]
    files["tokenizer/vocab.json"] = json.dumps({word: number for number, word in enumerate(words)}).encode()
    files["tokenizer/merges.txt"] = b"#version: 0.2\n"
    files["tokenizer/tokenizer_config.json"] = json.dumps(
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": 8, "pad_token": "<|endoftext|>"}
    ).encode()
    index(hub, "prompts", tokenizer=["transformers", "CLIPTokenizer"])
    assert np.abs(answer("hf:tiny/prompts", "a bad rat") - answer("hf:tiny/prompts", "")).max() > 0
    assert zoo.load("hf:tiny/prompts").unknown(["a bad rat"]) == ()


def test_what_it_takes_is_known_before_anything_is_downloaded(hub, pipelines, tmp_path, configure, monkeypatch):
    parameters = zoo.load(write(tmp_path / "copy", pipelines["prompts"])).card.parameters
    configure()
    size = sum(map(len, pipelines["prompts"].values()))
    told = zoo.price("hf:tiny/prompts")
    assert (told.download, told.memory) == (size - len(pipelines["prompts"]["model_index.json"]), 4 * parameters)
    assert hub.downloads == ["model_index.json"]
    assert zoo.held() == []
    model = zoo.load("hf:tiny/prompts")
    point_to(monkeypatch, "http://127.0.0.1:1")
    assert zoo.price("hf:tiny/prompts") == zoo.Price(0, model.bytes)  # it is open
    configure()
    assert zoo.price("hf:tiny/prompts") == zoo.Price(0, 4 * parameters)  # without a network, it was downloaded before
    point_to(monkeypatch, hub.url)
    assert zoo.price("hf:tiny/prompts") == zoo.Price(0, 4 * parameters)
    assert zoo.held() == []


def test_every_source_tells_its_price(hub, tmp_path, shelf):
    write_own(shelf / "tiny")
    save_tiny(tmp_path / "resnet", "resnet")
    hub.repositories["tiny/resnet"] = read(tmp_path / "resnet") | {"pytorch_model.bin": b"x"}
    for ref in ("zoo:tiny", f"file:{tmp_path / 'resnet'}", "hf:tiny/resnet"):
        told = zoo.price(ref)
        assert told.memory == pytest.approx(zoo.load(ref).bytes, rel=0.5)  # a tiny file is mostly its header
        assert told.download == (sum(map(len, read(tmp_path / "resnet").values())) if ref.startswith("hf:") else 0)
    with pytest.raises(ExplorerError, match="no model of that name ships"):
        zoo.price("zoo:nothing")


def test_half_precision_is_counted_as_it_will_be_opened(hub, pipelines):
    weights = {name: value.half() for name, value in load(pipelines["free"][UNET]).items()}
    hub.repositories["tiny/free"][UNET] = save(weights)
    parameters = sum(value.numel() for value in weights.values())
    assert zoo.price("hf:tiny/free").memory == 4 * parameters
    assert zoo.load("hf:tiny/free").card.parameters == parameters


@pytest.mark.parametrize("limit", ["EXPLORER_PARAMETERS", "EXPLORER_STORE"])
def test_a_pipeline_above_the_limits_is_refused_with_its_size_before_any_download(hub, configure, limit):
    configure(**{limit: "20000"})
    for call in (zoo.load, zoo.price):
        with pytest.raises(ExplorerError, match=r"\d MB to download, \d MB in memory\).* this server"):
            call("hf:tiny/prompts")
    assert hub.downloads == ["model_index.json"]


@pytest.mark.parametrize(
    ("kind", "lost", "words"),
    [
        ("free", UNET, "its unet has no weights as safetensors"),
        ("prompts", "vae/diffusion_pytorch_model.safetensors", "its vae has no weights as safetensors"),
        ("prompts", "text_encoder/model.safetensors", "its text_encoder has no weights as safetensors"),
        ("prompts", "tokenizer/tokenizer.json", "its tokenizer is missing"),
        ("prompts", "vae/config.json", "vae/config.json is missing"),
        ("free", "scheduler/scheduler_config.json", "scheduler_config.json is missing"),
    ],
)
def test_a_pipeline_that_lacks_something_is_refused_before_any_download(hub, kind, lost, words):
    hub.repositories[f"tiny/{kind}"] |= dict.fromkeys(CLUTTER, b"x")  # the same as pickles and variants
    del hub.repositories[f"tiny/{kind}"][lost]
    with pytest.raises(ExplorerError, match=words):
        zoo.load(f"hf:tiny/{kind}")
    assert hub.downloads == ["model_index.json"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unet": ["diffusers", "DiTTransformer2DModel"]}, "its unet is a DiTTransformer2DModel, which is not opened"),
        ({"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}, "has a part 'text_encoder_2'"),
        ({"unet": [None, None]}, "has no unet"),
        ({"vae": ["os", "system"]}, "its vae is a system, which is not opened"),
        ({"scheduler": "DDPMScheduler"}, "has no scheduler"),
    ],
)
def test_a_pipeline_of_other_parts_is_refused_before_any_download(hub, change, words):
    index(hub, "prompts", **change)
    with pytest.raises(ExplorerError, match=words):
        zoo.load("hf:tiny/prompts")
    assert hub.downloads == ["model_index.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b"[" * 5000, b"\xff\xfe"])
def test_a_damaged_index_is_refused(hub, content):
    hub.repositories["tiny/free"]["model_index.json"] = content
    with pytest.raises(ExplorerError, match=r"its model_index\.json is missing or damaged"):
        zoo.load("hf:tiny/free")


@pytest.mark.parametrize(
    ("named", "words"),
    [(dict.fromkeys("0123", "a"), "4 classes are named"), ({"1": "a"}, "KeyError"), (7, "can't open it")],
)
def test_damaged_names_of_classes_are_refused(hub, named, words):
    index(hub, "classes", id2label=named)
    with pytest.raises(ExplorerError, match=words):
        zoo.load("hf:tiny/classes")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-8], "can't open it"),
        (lambda content: b"no", "is damaged"),
        (lambda content: b"\xff" * 200, "is damaged"),
        (lambda content: (200).to_bytes(8, "little") + b"{" * 200, "is damaged"),
        (lambda content: (9).to_bytes(8, "little") + b'{"a":[1]}', "is damaged"),
        (lambda content: save(dict(list(load(content).items())[1:])), "1 of its weights are missing"),
    ],
)
def test_damaged_weights_are_refused(hub, damage, words):
    files = hub.repositories["tiny/free"]
    files[UNET] = damage(files[UNET])
    with pytest.raises(ExplorerError, match=words):
        zoo.load("hf:tiny/free")
    assert zoo.held() == []


def test_a_shared_server_opens_only_the_pipelines_on_its_list(hub, configure, monkeypatch):
    configure(EXPLORER_SHARED="1")
    for call in (zoo.load, zoo.price):
        with pytest.raises(ExplorerError, match=r"shared: of the Hub it opens only"):
            call("hf:tiny/free")
    assert hub.downloads == []
    monkeypatch.setitem(hf.ALLOWED, "tiny/free", 20_000)
    assert zoo.load("hf:tiny/free").card.ref == "hf:tiny/free"
    configure(EXPLORER_SHARED="1", EXPLORER_MODE="cpu-tiny")
    with pytest.raises(ExplorerError, match=r"it has 35,746,307 parameters, and this server opens up to 30,000,000"):
        zoo.load("hf:google/ddpm-cifar10-32")


def test_a_gated_pipeline_is_refused(hub):
    hub.gated.add("tiny/free")
    with pytest.raises(ExplorerError, match="gated"):
        zoo.load("hf:tiny/free")


@pytest.mark.parametrize("file", ["model_index.json", UNET, "tokenizer/tokenizer.json"])
def test_a_download_that_breaks_off_is_said_then_and_later(hub, monkeypatch, file):
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: real(min(seconds, 0.01)))
    hub.cut.add(file)
    with pytest.raises(ExplorerError, match="did not finish"):
        zoo.load("hf:tiny/prompts")
    assert zoo.held() == []
    point_to(monkeypatch, "http://127.0.0.1:1")
    for call in (zoo.load, zoo.price):
        with pytest.raises(ExplorerError, match=r"can't be reached .* and it was not downloaded before"):
            call("hf:tiny/prompts")


def test_a_broken_download_is_taken_up_again(hub, monkeypatch):
    from huggingface_hub import hf_hub_download

    hf_hub_download("tiny/free", "model_index.json")
    hf_hub_download("tiny/free", "unet/config.json")
    assert zoo.price("hf:tiny/free").download < sum(map(len, hub.repositories["tiny/free"].values()))
    assert zoo.load("hf:tiny/free").card.task == "image-generation"
    assert hub.downloads.count("unet/config.json") == 1


def test_what_was_downloaded_before_opens_without_a_network(hub, configure, monkeypatch):
    hub.repositories["tiny/prompts"] |= dict.fromkeys(CLUTTER, b"x")  # never downloaded, never missed
    before = answer("hf:tiny/prompts", "a red ring")
    configure()  # an empty store
    point_to(monkeypatch, "http://127.0.0.1:1")
    np.testing.assert_array_equal(answer("hf:tiny/prompts", "a red ring"), before)


def test_what_another_program_downloaded_in_part_is_said_without_a_network(hub, monkeypatch):
    from huggingface_hub import hf_hub_download

    for name in ("model_index.json", "unet/config.json"):
        hf_hub_download("tiny/free", name)
    point_to(monkeypatch, "http://127.0.0.1:1")
    with pytest.raises(ExplorerError, match=r"can't be reached .*, and of its earlier download its scheduler"):
        zoo.load("hf:tiny/free")


def test_a_folder_saved_anew_is_opened_anew(pipelines, tmp_path, configure):
    ref = write(tmp_path / "made", pipelines["free"])
    before = answer(ref)
    weights = {name: value + 0.1 for name, value in load(pipelines["free"][UNET]).items()}
    time.sleep(0.01)
    write(tmp_path / "made", {UNET: save(weights)})
    assert np.abs(answer(ref) - before).max() > 0.01
