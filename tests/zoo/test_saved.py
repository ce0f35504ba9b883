"""`file:`: image classifiers that save_pretrained wrote, and folders that are none."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from explorer import zoo
from explorer.borrow import capture
from explorer.errors import ExplorerError
from explorer.store import ANSWERS
from tests.zoo.conftest import save_tiny

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for kind in ("resnet", "vit"):
        save_tiny(folder / kind, kind)
    return folder


@pytest.fixture
def saved_folder(originals, tmp_path, shelf):
    """A copy to open or to damage."""
    shutil.copytree(originals, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_a_saved_classifier_predicts_as_transformers_does(saved_folder, kind):
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = zoo.load(f"file:{saved_folder / kind}")
    assert model.labels == ("cat", "dog", "emu")
    assert model.card.shape == (3, 32, 32)
    assert model.card.title == kind
    processor = AutoImageProcessor.from_pretrained(saved_folder / kind)
    net = AutoModelForImageClassification.from_pretrained(saved_folder / kind).eval()
    with torch.no_grad():
        expected = net(**processor(Image.fromarray(PICTURE), return_tensors="pt")).logits.softmax(1).numpy()
    np.testing.assert_allclose(model.predict(PICTURE), expected, atol=1e-5)
    assert model.predict([Image.new("L", (20, 60)), PICTURE]).shape == (2, 3)


def test_attention_weights_can_be_asked_of_it(saved_folder):
    with zoo.load(f"file:{saved_folder / 'vit'}").borrow() as module:
        with torch.no_grad():
            answer = module.net(torch.zeros(1, 3, 32, 32), output_attentions=True)
        assert len(answer.attentions) == 2
        assert answer.attentions[0].shape == (1, 2, 17, 17)


def test_its_layers_have_readable_names_and_can_be_captured(saved_folder):
    model = zoo.load(f"file:{saved_folder / 'resnet'}")
    with model.borrow() as module:
        with capture(module) as outputs, torch.no_grad():
            logits = module(model.preprocess(PICTURE))
        assert torch.equal(outputs["net.classifier.1"], logits)
        assert outputs["net.resnet.embedder"].shape[:2] == (1, 8)
    with model.borrow() as again:
        assert again is module


def test_a_model_saved_anew_is_loaded_anew(saved_folder):
    path = saved_folder / "vit"
    before = zoo.load(f"file:{path}")
    assert zoo.load(f"file:{path}/") is before
    save_tiny(path, "vit", seed=1)
    ANSWERS.get("what a page has found of it", lambda: "old")
    assert not np.array_equal(zoo.load(f"file:{path}").predict(PICTURE), before.predict(PICTURE))
    assert not ANSWERS.holds("what a page has found of it")
    ANSWERS.get("what a page has found of it", lambda: "new")
    zoo.load(f"file:{path}")
    assert ANSWERS.holds("what a page has found of it")


def test_loads_at_the_same_time_leave_torch_as_it_was(saved_folder):
    before = torch.nn.init.uniform_, torch.nn.init.kaiming_uniform_, torch.get_default_dtype()
    for copy in range(4):
        shutil.copytree(saved_folder / "vit", saved_folder / f"vit{copy}")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda copy: zoo.load(f"file:{saved_folder / f'vit{copy}'}"), range(4)))
    assert (torch.nn.init.uniform_, torch.nn.init.kaiming_uniform_, torch.get_default_dtype()) == before


def _edit(**changes):
    def harm(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def _cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])


def _headless(folder):
    path = folder / "model.safetensors"
    state = load_file(path)
    save_file({name: value for name, value in state.items() if "classifier" not in name}, path, {"format": "pt"})


def _pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_cut, "model.safetensors is damaged"),
        (_headless, "2 of its weights are missing"),
        (_pickled, "no weights as safetensors"),
        (_edit(hidden_size=32), "other shapes"),
        (_edit(hidden_size="big"), "can't open it"),
        (_edit(num_attention_heads=0), "can't open it"),
        (_edit(model_type="bert"), "no image classifier"),
        (_edit(model_type="evil", auto_map={"AutoModelForImageClassification": "evil.Model"}), "no image classifier"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is missing or damaged"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing or damaged"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "preprocessor_config.json is missing"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("[]"), "can't open it"),
    ],
)
def test_a_folder_that_is_damaged_or_no_classifier_is_refused(saved_folder, harm, words):
    harm(saved_folder / "vit")
    with pytest.raises(ExplorerError, match=words):
        zoo.load(f"file:{saved_folder / 'vit'}")
    assert zoo.held() == []


def test_code_in_the_folder_is_never_run(saved_folder, tmp_path):
    folder = saved_folder / "vit"
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    _edit(auto_map={"AutoModelForImageClassification": "evil.Model", "AutoConfig": "evil.Config"})(folder)
    assert zoo.load(f"file:{folder}").labels == ("cat", "dog", "emu")
    assert not (tmp_path / "harm").exists()


def test_folders_are_refused_on_a_shared_server(saved_folder, configure):
    configure(EXPLORER_SHARED="1")
    with pytest.raises(ExplorerError, match="shared"):
        zoo.load(f"file:{saved_folder / 'vit'}")


def test_limits_hold_for_folders_too(saved_folder, configure):
    configure(EXPLORER_PARAMETERS="100")
    with pytest.raises(ExplorerError, match="opens up to 100"):
        zoo.load(f"file:{saved_folder / 'vit'}")
    configure(EXPLORER_IMAGE_SIDE="16")
    with pytest.raises(ExplorerError, match="32×32"):
        zoo.load(f"file:{saved_folder / 'vit'}")


def test_a_missing_folder_is_refused(shelf, tmp_path):
    for path in (tmp_path / "nowhere", __file__):
        with pytest.raises(ExplorerError, match="no such folder"):
            zoo.load(f"file:{path}")
    with pytest.raises(ExplorerError, match=r"config\.json is missing"):
        zoo.load(f"file:{tmp_path}")
