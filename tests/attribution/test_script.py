"""The scripts of the code panel leave the page's own numbers: python -m pytest tests/attribution/test_script.py"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer import attribution, data, zoo
from explorer.attribution.arena import fitting
from explorer.attribution.base import Attribution
from explorer.attribution.script import script
from explorer.source import weights_file
from tests import alone
from tests.zoo.conftest import save_tiny


def write(folder: Path, found: Attribution) -> Path:
    """A folder with the script of a map and all that it wants beside it."""
    folder.mkdir(parents=True)
    (folder / "script.py").write_text(script(found), encoding="utf-8")
    grey = found.picture.shape[-1] == 1
    Image.fromarray(found.picture[..., 0] if grey else found.picture).save(folder / "picture.png")
    if found.ref.startswith(("zoo:", "run:")):
        (folder / "model.safetensors").write_bytes(weights_file(found.ref).read_bytes())
    return folder


def prove(folders: dict[Path, Attribution]) -> None:
    """Run all the scripts in a process that can't find the explorer, and compare."""
    alone.run(folders, timeout=300)
    for folder, found in folders.items():
        theirs = np.load(folder / "scores.npy")
        bound = 1e-5 * np.abs(found.scores).max()
        np.testing.assert_allclose(theirs, found.scores, rtol=1e-3, atol=bound, err_msg=str(folder))


@pytest.mark.parametrize("ref", [card.ref for card in zoo.cards("image-classification")])
def test_every_method_on_every_shipped_network(ref, tmp_path):
    model = zoo.load(ref)
    test = data.load(model.card.dataset, "test")
    maps = [attribution.attribute(ref, test.x[2], method) for method in fitting(model)]
    prove({write(tmp_path / found.method, found): found for found in maps})


def test_settings_layer_seed_and_the_difference_of_two_classes(tmp_path):
    test = data.load("shapes", "test")
    asked = [
        ("zoo:shapes-resnet", "grad_cam", {"layer": "stage2.0", "target": 3, "relu": False}),
        ("zoo:shapes-vit", "grad_cam_plus_plus", {"layer": "blocks.1.norm1", "versus": 4, "target": 1}),
        ("zoo:shapes-vit", "attention_rollout", {"heads": "max", "discard": 0.5}),
        ("zoo:shapes-resnet", "integrated_gradients", {"steps": 20, "baseline": "blurred", "versus": 7, "target": 0}),
        ("zoo:shapes-resnet", "lrp", {"rule": "epsilon"}),
        ("zoo:shapes-resnet", "lime", {"samples": 60, "pieces": 12, "seed": 9, "baseline": "white"}),
    ]
    maps = [attribution.attribute(ref, test.x[5], method, **values) for ref, method, values in asked]
    prove({write(tmp_path / str(number), found): found for number, found in enumerate(maps)})


def test_a_run_of_ones_own_at_a_checkpoint(tmp_path):
    from explorer import training
    from explorer.training import TrainConfig

    run = training.fit(TrainConfig(model="mlp", epochs=1, batch_size=256))
    digit = data.load("digits", "test").x[0]
    refs = (f"{run.ref}@{run.checkpoints[0]}", run.ref)
    maps = [attribution.attribute(ref, digit, "input_x_gradient") for ref in refs]
    prove({write(tmp_path / str(number), found): found for number, found in enumerate(maps)})


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_a_folder_of_transformers(kind, tmp_path):
    save_tiny(tmp_path / "model", kind)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = attribution.attribute(f"file:{tmp_path / 'model'}", picture, "grad_cam")
    text = script(found)
    compile(text, "script.py", "exec")
    assert "AutoModelForImageClassification" in text


def test_a_script_speaks_of_nothing_of_ours():
    digit = data.load("digits", "test").x[0]
    for method in fitting(zoo.load("zoo:digits-lenet")):
        text = script(attribution.attribute("zoo:digits-lenet", digit, method))
        assert "explorer" not in text
        assert "Annotated" not in text
        assert "register(" not in text.replace("register_forward_hook(", "")
