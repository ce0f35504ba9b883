"""The script of the code panel takes the very same steps: python -m pytest tests/training/test_script.py"""

import dataclasses
import re

import pytest
import torch

from explorer import models
from explorer.training.config import TrainConfig
from explorer.training.learner import precision
from explorer.training.loop import steps
from explorer.training.script import data_file, python, script
from tests import alone

MLP = {"model": "mlp", "model_settings": {"width": 8, "depth": 2}, "batch_size": 128, "epochs": 2}
CONFIGS = {
    "default": TrainConfig(epochs=1),
    "sgd, nesterov, steps, clipped twice": TrainConfig(
        **MLP, optimizer="sgd", nesterov=True, lr=0.05, schedule="step", clip_value=0.01, clip_norm=0.1
    ),
    "rmsprop, one cycle, averaged, stopped early": TrainConfig(
        **MLP | {"epochs": 30}, amp="off", optimizer="rmsprop", schedule="one-cycle", ema=0.9, early_stopping=1,
        lr=0.03, warmup=0.3,
    ),
    "adam, plateau, accumulated": TrainConfig(
        **MLP | {"batch_size": 32, "epochs": 8}, accumulate=4, optimizer="adam", schedule="plateau", patience=0, lr=0.05
    ),
    "dropout, balanced, bf16": TrainConfig(
        **MLP | {"model_settings": {"width": 8, "depth": 2, "dropout": 0.3}}, balanced=True, amp="bf16",
        dataset_settings={"imbalance": 10}, schedule="restarts",
    ),
    "augmented": TrainConfig(**MLP, flip=True, crop=1, randaugment=9, erasing=0.5, mixup=0.4, cutmix=1.0),
    "points": TrainConfig("points", "mlp", epochs=1, schedule="cyclic", dataset_settings={"count": 300}),
    "decoder": TrainConfig("sort", "gpt", model_settings={"width": 16, "depth": 1}, epochs=1, batch_size=512),
    "encoder": TrainConfig("story", "bert", model_settings={"width": 16, "depth": 1}, epochs=1, batch_size=512),
    "translator": TrainConfig("dates", "seq2seq", model_settings={"width": 16, "depth": 1}, epochs=1, batch_size=512),
    "denoiser of points": TrainConfig("points", "points-denoiser", epochs=1, model_settings={"width": 16}, ema=0.9),
    "decoder, accumulated": TrainConfig(
        "story", "gpt", model_settings={"width": 16, "depth": 1}, epochs=1, batch_size=64, accumulate=8
    ),
    "denoiser of changed pictures": TrainConfig(
        model="unet", model_settings={"width": 8}, epochs=1, batch_size=512, flip=True, crop=1
    ),
    "denoiser of pictures": TrainConfig(model="unet", model_settings={"width": 8}, epochs=1, batch_size=512),
}  # fmt: skip
SHORT = 40  # steps that are compared at most


def told(text: str) -> tuple[list[float], list[float]]:
    """The losses of the steps and of the validations that a script printed."""
    return (
        [float(found) for found in re.findall(r"step \d+: loss (\S+)", text)],
        [float(found) for found in re.findall(r"validation loss ([\d.]+)", text)],
    )


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each script prints, where the explorer can't be found."""
    folders = {}
    for name, config in CONFIGS.items():
        folder = folders[name] = tmp_path_factory.mktemp("script")
        text = re.sub(r"print\((f\".*\")\)", r"print(\1, file=said, flush=True)", script(config))
        text = text.replace("config = Simple", "said = open('said', 'w')\nconfig = Simple", 1)
        (folder / "script.py").write_text(text, encoding="utf-8")
        (folder / "data.npz").write_bytes(data_file(config))
    library = [name for name, folder in folders.items() if "from transformers" in (folder / "script.py").read_text()
               or "from diffusers" in (folder / "script.py").read_text()]  # fmt: skip
    for names in (set(folders) - set(library), library):  # these do without torchvision in their process
        alone.run([folders[name] for name in names], timeout=140)
    return {name: told((folder / "said").read_text()) for name, folder in folders.items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CONFIGS)
def test_it_has_the_losses_of_the_app_at_every_step(name, printed):
    config = CONFIGS[name]
    losses, tried = printed[name]
    ours = list(steps(config))
    expected = [step.loss for step in ours if step.loss is not None]
    assert len(losses) == len(expected)
    assert losses[:2] == pytest.approx(expected[:2], rel=1e-3)
    assert losses[:SHORT] == pytest.approx(expected[:SHORT], rel=3e-2)
    validated = [step.validation_loss for step in ours if step.validation_loss is not None][1:]
    assert tried == pytest.approx(validated, rel=5e-2, abs=1e-3)


def test_it_speaks_of_nothing_of_ours_and_of_no_lever_that_does_not_act():
    for config in CONFIGS.values():
        text = script(config)
        compile(text, "script.py", "exec")
        assert not re.search(r"(import|from) explorer", text)
    plain = script(TrainConfig(clip_norm=0.0, label_smoothing=0.0, amp="off"))
    for word in ("momentum", "clip_", "mixup", "label_smoothing", "average", "autocast", "sampler", "accumulate"):
        assert word not in plain.split("# 1.")[1], word


@pytest.mark.parametrize("has_bf16", [True, False])
def test_on_a_gpu_its_precision_is_that_of_the_app(has_bf16, monkeypatch):
    lines = script(TrainConfig()).splitlines()
    chosen = "\n".join(line for line in lines if line.startswith(("has_bf16 =", "half =", "scaler =")))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16)
    monkeypatch.setattr(torch.amp, "GradScaler", lambda kind, enabled: enabled)
    found = {"torch": torch, "device": torch.device("cuda")}
    exec(chosen, found)
    assert found["half"] is precision(TrainConfig(), torch.device("cuda"))
    assert found["scaler"] is (not has_bf16)
    assert "    with torch.autocast(device.type, half" in "\n".join(lines)
    for line in ("scaler.scale(loss).backward()", "scaler.step(optimizer)", "scaler.update()"):
        assert line in map(str.strip, lines)


@pytest.mark.parametrize("model", [name for name in models.MODELS if "image" in models.reads(name)])
def test_every_architecture_of_pictures_can_be_written_down(model):
    text = script(TrainConfig(model=model))
    compile(text, "script.py", "exec")


def test_the_few_lines_through_the_explorer_say_what_differs_from_the_defaults():
    config = dataclasses.replace(TrainConfig(), epochs=3, model_settings={"width": 8})
    text = python(config)
    assert "epochs=3" in text
    assert "optimizer" not in text
    compile(text, "python", "exec")
