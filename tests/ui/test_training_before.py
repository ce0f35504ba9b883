"""What is said before a run: python -m pytest tests/ui/test_training_before.py"""

import dataclasses

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from explorer.training import TrainConfig
from explorer.training.range_test import STUDY, RangeTest
from explorer.ui.training.before import same_range_test

CONFIG = TrainConfig("points", "mlp", model_settings={"width": 8})


@pytest.mark.parametrize(
    "changes",
    [{"lr": 0.1}, {"epochs": 3}, {"schedule": "step", "cycles": 2, "decay": 0.2}, {"warmup": 0.2}, {"ema": 0.9},
     {"early_stopping": 3}, {"seed": 4}, {"model_settings": {"width": 8, "depth": 2}}],
)  # fmt: skip
def test_what_a_range_test_sets_itself_makes_no_other_test(changes):
    assert same_range_test(CONFIG, dataclasses.replace(CONFIG, **changes))


@pytest.mark.parametrize(
    "changes",
    [{"model_settings": {"width": 16}}, {"dataset_settings": {"noise": 0.0}}, {"weight_decay": 0.1},
     {"optimizer": "sgd"}, {"batch_size": 128}, {"clip_norm": 0.0}, {"label_smoothing": 0.0}, {"momentum": 0.5},
     {"balanced": True}],
)  # fmt: skip
def test_another_recipe_is_another_range_test(changes):
    assert not same_range_test(CONFIG, dataclasses.replace(CONFIG, **changes))


def view(values):
    """The range test beside a recipe."""
    from explorer.training import TrainConfig
    from explorer.ui.training.before import _range

    _range(TrainConfig(**values))


def test_a_rate_is_offered_for_the_recipe_that_was_tested_alone(monkeypatch):
    curve = np.geomspace(1, 0.1, 20)
    monkeypatch.setattr(STUDY.__class__, "asked", lambda self, id: CONFIG.to_dict())
    monkeypatch.setattr(
        STUDY.__class__, "found", lambda self, id, kind: RangeTest(curve[::-1], curve, curve, 0.01, float("nan"))
    )
    for changes, offers in (({"lr": 0.1}, True), ({"weight_decay": 0.1}, False)):
        app = AppTest.from_function(view, args=(CONFIG.to_dict() | changes,), default_timeout=60)
        app.query_params["range"] = "0" * 32
        app.run()
        assert not app.exception
        assert any(one.key == "use-rate" for one in app.button) == offers
        assert any("run it again" in one.value for one in app.caption) != offers
