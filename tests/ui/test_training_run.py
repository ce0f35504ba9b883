"""A run on the screen: python -m pytest tests/ui/test_training_run.py"""

from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from explorer import data
from explorer.training import TrainConfig
from explorer.ui.training import run as view
from explorer.ui.training.inside import apart

SMALL = TrainConfig("points", "mlp", epochs=3, batch_size=32, dataset_settings={"count": 100})


def test_the_speed_counts_the_examples_that_there_are():
    train = len(data.load("points", "train", count=100))
    for batch, steps, seen in ((32, train // 32, 32), (512, 1, train)):
        config = TrainConfig.from_dict(SMALL.to_dict() | {"batch_size": batch})
        trained = [{"step": step, "epoch": step / steps, "seconds": step / 10} for step in range(1, 9)]
        assert view._speed(trained, config) == f"{10 * seen:,.0f}"


def shown(values, state, resumable):
    """The buttons of a run that ended so."""
    from pathlib import Path

    from explorer.training import TrainConfig, TrainRun
    from explorer.ui.training.run import go_on

    config = TrainConfig.from_dict(values)
    go_on(TrainRun("run:x", Path(), config, state, "", 0.0, (), (), None, {}, resumable=resumable))


@pytest.mark.parametrize(
    ("changes", "resumable", "words"),
    [
        ({}, True, "Go on with half the batch"),
        ({}, False, "Start again with half the batch"),
        ({"batch_size": 512}, True, "Start again with half the batch"),  # more than there are examples
        ({"batch_size": 2, "accumulate": 16}, True, "Start again with half the batch"),
        ({"batch_size": 1}, True, None),
    ],
)
def test_half_the_batch_is_offered_only_where_it_works(changes, resumable, words):
    values = SMALL.to_dict() | changes
    app = AppTest.from_function(shown, args=(values, "exhausted", resumable), default_timeout=60).run()
    assert not app.exception
    assert next((one.label for one in app.button if one.key == "halve"), None) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_smoothing": 0.0}, ""),
        ({}, "The training loss holds label smoothing, and the validation loss does not."),
        ({"mixup": 0.2}, "The training loss holds label smoothing and MixUp, and the validation loss does not."),
        ({"label_smoothing": 0.0, "cutmix": 1.0}, "The training loss holds CutMix, and the validation loss does not."),
        ({"dataset": "points", "model": "points-denoiser"}, ""),  # its loss is no cross-entropy
    ],
)
def test_it_is_told_what_the_training_loss_holds_that_the_validation_loss_does_not(changes, words):
    assert apart(TrainConfig(**changes)) == words


def drawn(values):
    """The curves of a short run, and what was measured inside."""
    from explorer.training import TrainConfig
    from explorer.ui.training.inside import inside
    from explorer.ui.training.run import _curves, _figures

    config = TrainConfig.from_dict(values)
    tried = {"validation_loss": 1.0, "validation_accuracy": 0.5, "dead": {"a": 0.1}, "memory": 10**8}
    history = [{"step": 0, "epoch": 0.0, "seconds": 0.0, **tried}]
    for step in (1, 2):
        trained = {"loss": 1.0, "accuracy": 0.5, "lr": 0.1, "grad_norm": 1.0, "layers": {"a": (1.0, 0.1)}}
        history.append({"step": step, "epoch": step / 2, "seconds": float(step), **trained, **tried})
    _figures(history, config)
    _curves(history, 2, config)
    inside(history, 2, config)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_words_stand_beside_the_curves(smoothing):
    app = AppTest.from_function(drawn, args=(TrainConfig(label_smoothing=smoothing).to_dict(),), default_timeout=60)
    app.query_params["inside"] = "true"
    app.run()
    assert not app.exception
    told = [one.value for one in app.caption]
    assert sum("The training loss holds label smoothing" in one for one in told) == (2 if smoothing else 0)
    assert any("first 256 examples of the split" in one for one in told)
    held = next(one for one in app.metric if one.label == "Worker's memory")
    assert "On a CPU the most that the worker held when it tried the validation split" in held.help


def test_an_epoch_has_its_steps_before_the_first_is_taken():
    start = {"step": 0, "epoch": 0.0, "validation_loss": 2.3}
    config = TrainConfig(dataset="digits", batch_size=64)
    examples = len(data.load("digits", "train"))
    assert view.epoch_of(SimpleNamespace(history=[start], config=config)) == examples // 64 > 1
    assert view.epoch_of(SimpleNamespace(history=[start, {"step": 38, "epoch": 2.0}], config=config)) == 19


def test_what_is_left_is_said_from_the_first_step_to_the_last():
    assert view.left(None, 0.5) == view.left(0.0, 0.0) == "starting"
    assert view.left(0.0, 0.99) == "0.0 s left"  # later than it was thought to be
    assert view.left(4073, 0.1) == "68 min left"
