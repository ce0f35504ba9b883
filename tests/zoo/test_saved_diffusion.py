"""Pipelines of diffusers as folders, whole and damaged: python -m pytest tests/zoo/test_saved_diffusion.py"""

import json
import shutil

import numpy as np
import pytest
import torch

from explorer import attention, attribution, zoo
from explorer.errors import ExplorerError
from explorer.zoo.outline import outline
from tests.diffusion import nets

KINDS = {  # kind → task, shape, state, labels
    "free": ("image-generation", (1, 8, 8), (1, 8, 8), 0),
    "classes": ("image-generation", (1, 8, 8), (1, 8, 8), 3),
    "guided": ("image-generation", (1, 8, 8), (1, 8, 8), 3),
    "prompts": ("text-to-image", (3, 8, 8), (4, 4, 4), 0),
    "points": ("points-generation", (2,), (2,), 0),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: nets.save(tmp_path_factory.mktemp("pipes") / kind, kind)[5:] for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_opens_with_a_card_and_its_layers(folders, kind):
    model = zoo.load(f"file:{folders[kind]}")
    task, shape, state, labels = KINDS[kind]
    assert (model.card.task, model.card.shape, model.x_shape, len(model.labels)) == (task, shape, state, labels)
    assert model.avoids == (kind in ("guided", "prompts"))
    layers = outline(model)
    assert any(layer.name.startswith("unet.") for layer in layers)
    assert sum(layer.parameters for layer in layers) == model.card.parameters
    with pytest.raises(ExplorerError, match="names nothing"):
        model.predict(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ExplorerError):
        attribution.attribute(f"file:{folders[kind]}", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ExplorerError, match="reads noise"):
        attention.attend(f"file:{folders[kind]}", "a red ring")


def test_pictures_become_states_and_pictures_again(folders):
    model = zoo.load(f"file:{folders['free']}")
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8, 1) * 4
    with model.borrow() as parts, torch.inference_mode():
        state = model.encode(parts, picture)
        assert state.min() >= -1
        assert state.max() <= 1
        np.testing.assert_array_equal(model.decode(parts, state)[0], picture)


def damaged(folders, tmp_path, kind, change):
    folder = tmp_path / kind
    shutil.copytree(folders[kind], folder)
    change(folder)
    return f"file:{folder}"


def index(**values):
    def change(folder):
        path = folder / "model_index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("free", lambda folder: (folder / "model_index.json").write_text("{"), "missing or damaged"),
        ("free", index(unet=["diffusers", "FluxTransformer2DModel"]), "not opened here"),
        ("free", index(unet=["os", "system"]), "not opened here"),
        ("free", index(scheduler=["diffusers", "ScoreSdeVeScheduler"]), "ScoreSdeVeScheduler, which is not opened"),
        ("free", index(controlnet=["diffusers", "ControlNetModel"]), "controlnet"),
        ("free", lambda folder: shutil.rmtree(folder / "unet"), "config.json is missing"),
        ("free", lambda folder: (folder / "scheduler" / "scheduler_config.json").unlink(), "scheduler_config"),
        ("prompts", lambda folder: shutil.rmtree(folder / "tokenizer"), "(?i)tokenizer"),
        ("prompts", index(tokenizer=[None, None]), "(?i)tokenizer"),
        ("free", lambda folder: next((folder / "unet").glob("*.safetensors")).unlink(), "no weights as safetensors"),
        ("free", lambda folder: next((folder / "unet").glob("*.safetensors")).write_bytes(b"no"), "damaged|header"),
        ("points", lambda folder: (folder / "unet" / "config.json").write_text('{"width": 17}'), "can't open it"),
    ],
)
def test_a_damaged_pipeline_is_refused_with_a_sentence(folders, tmp_path, kind, change, words):
    with pytest.raises(ExplorerError, match=words):
        zoo.load(damaged(folders, tmp_path, kind, change))


def test_a_pipeline_that_is_too_large_is_refused_before_it_is_read(folders, tmp_path, monkeypatch):
    from explorer.settings import settings

    monkeypatch.setenv("EXPLORER_PARAMETERS", "1000")
    settings.cache_clear()
    with pytest.raises(ExplorerError, match="parameters"):
        zoo.load(damaged(folders, tmp_path, "prompts", lambda folder: None))
