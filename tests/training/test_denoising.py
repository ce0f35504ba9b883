"""Training what draws: python -m pytest tests/training/test_denoising.py"""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from explorer import runs, training, zoo
from explorer.diffusion import sample
from explorer.runs import files
from explorer.training import TrainConfig
from explorer.training.learner import prepare
from explorer.training.loop import steps
from explorer.training.scoring import BANDS

POINTS = TrainConfig(
    dataset="points", dataset_settings={"kind": "gaussians", "count": 1000}, model="points-denoiser",
    model_settings={"width": 32, "depth": 2}, epochs=100, batch_size=128, lr=5e-3, ema=0.99, label_smoothing=0.0,
)  # fmt: skip
DIGITS = TrainConfig(model="unet", model_settings={"width": 8}, epochs=1, batch_size=512, ema=0.9)


@pytest.mark.parametrize("predicts", ["epsilon", "flow"])
def test_points_learn_to_lie_where_the_data_lie_and_every_checkpoint_draws(predicts):
    config = TrainConfig.from_dict(
        POINTS.to_dict() | {"model_settings": {"width": 32, "depth": 2, "predicts": predicts}}
    )
    run = training.fit(config)
    tried = [record for record in run.history if "validation_loss" in record]
    assert all(len(record["validation_bands"]) == BANDS for record in tried)
    assert "accuracy" not in run.history[-1]
    assert "validation_accuracy" not in run.history[-1]
    assert np.mean(tried[-1]["validation_bands"]) == pytest.approx(tried[-1]["validation_loss"], rel=0.01)
    kept = [record for record in tried if record["step"] in run.checkpoints]
    assert run.best == min(kept, key=lambda record: record["validation_loss"])["step"]
    assert set(run.metrics) == {"test loss", "validation loss"}
    drawn = load_file(run.folder / "samples.safetensors")
    assert set(map(int, drawn)) <= set(files.checkpoints(run.folder))
    assert len(drawn) > 5
    assert all(cloud.shape == (1000, 2) for cloud in drawn.values())
    centres = np.array([[0.4, 0.4], [-0.4, -0.4]])
    sampler = "flow" if predicts == "flow" else "ddim"
    for number, centre in enumerate(centres):
        cloud = sample(run.ref, sampler, 25, 1.0, number, count=300).x[-1]
        assert np.abs(cloud.mean(0) - centre).max() < 0.12
        assert 0.08 < cloud.std(0).mean() < 0.3
    first = sample(f"{run.ref}@0", sampler, 25, 1.0, 0, count=300).x[-1]
    assert np.abs(first.std(0).mean() - 0.15) > 0.1  # untrained, it draws something else


def test_a_network_of_pictures_is_kept_with_the_mean_of_its_weights():
    run = training.fit(DIGITS)
    model = zoo.load(run.ref)
    assert model.card.task == "image-generation"
    assert (model.card.mean, model.card.std) == ((0.5,), (0.5,))
    assert model.kind == "class"
    assert model.avoids
    drawn = load_file(run.folder / "samples.safetensors")
    assert {cloud.shape for cloud in drawn.values()} == {(10, 8, 8, 1)}
    listed = runs.get(run.ref.removeprefix("run:"))
    assert listed.metrics["test loss"] == pytest.approx(run.metrics["test loss"])
    assert json.loads((run.folder / "config.json").read_text())["ema"] == 0.9


def test_the_mean_of_the_weights_is_what_its_formula_says():
    config = TrainConfig.from_dict(POINTS.to_dict() | {"epochs": 1})
    learner = prepare(config)
    weight = learner.model.out.weight
    expected = weight.detach().clone()
    seen = -1
    for step in steps(config, learner):
        if step.step:
            keep = 0.0 if seen < 0 else min(0.99, (1 + seen + 1) / (10 + seen + 1))
            expected = weight.detach() * (1 - keep) + expected * keep
            seen += 1
    assert not torch.equal(expected, weight)
    torch.testing.assert_close(learner.kept.out.weight, expected)


def test_without_a_mean_the_weights_themselves_are_kept():
    learner = prepare(TrainConfig(epochs=1))
    assert learner.kept is learner.model
