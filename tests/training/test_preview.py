"""What a recipe does before it runs: python -m pytest tests/training/test_preview.py"""

import itertools

import numpy as np
import pytest

from explorer import data
from explorer.errors import ExplorerError
from explorer.training import loop
from explorer.training.config import TrainConfig
from explorer.training.learner import prepare
from explorer.training.loop import steps
from explorer.training.preview import SHOWN, preview, rates

MIXED = TrainConfig(model="mlp", model_settings={"width": 8}, epochs=1, crop=1, mixup=1.0, erasing=0.3, batch_size=32)


def test_the_rates_are_those_of_the_run():
    config = TrainConfig(epochs=2, schedule="one-cycle", warmup=0.3, model="mlp", batch_size=256)
    found = [step.lr for step in steps(config) if step.lr is not None]
    at, values = rates(config, len(found))
    assert at.tolist() == list(range(1, len(found) + 1))
    np.testing.assert_allclose(values, found)
    assert len(rates(config, 100_000)[0]) == 400
    assert len(rates(config, 1)[0]) == 1


def test_a_plain_batch_is_shown_as_it_is_with_whole_classes():
    found = preview(TrainConfig())
    train = data.load("digits", "train")
    order = next(prepare(TrainConfig()).orders())[:SHOWN].numpy()
    np.testing.assert_array_equal(found.before, train.x[order])
    np.testing.assert_array_equal(found.after, found.before)
    np.testing.assert_array_equal(found.was, train.y[order])
    assert found.shares.max(1).tolist() == [1.0] * SHOWN
    assert found.shares.argmax(1).tolist() == found.was.tolist()


@pytest.mark.parametrize("step", [0, 3])
def test_a_changed_batch_is_the_very_one_that_the_run_draws(step, monkeypatch):
    seen = []
    inner = loop.answers

    def watched(forward, asked):
        seen.append((asked[0][0], asked[1]))
        return inner(forward, asked)

    monkeypatch.setattr(loop, "answers", watched)
    learner = prepare(MIXED)
    list(itertools.islice(steps(MIXED, learner), step + 2))
    x, y = seen[step]
    found = preview(MIXED, step)
    pixels = (x * learner.train.std + learner.train.mean).clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_allclose(found.after, pixels[:SHOWN], atol=0.51)
    np.testing.assert_allclose(found.shares, y[:SHOWN].numpy(), atol=1e-6)
    np.testing.assert_allclose(found.shares.sum(1), 1, atol=1e-6)
    assert (found.after != found.before).any()


def test_a_step_beyond_the_epoch_counts_round():
    per_epoch = prepare(MIXED).steps_per_epoch
    np.testing.assert_array_equal(preview(MIXED, per_epoch + 1).before, preview(MIXED, 1).before)


def test_what_is_no_picture_has_no_preview():
    with pytest.raises(ExplorerError, match="no pictures"):
        preview(TrainConfig("points", "mlp"))
