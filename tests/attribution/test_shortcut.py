"""The planted shortcut is found: python -m pytest tests/attribution/test_shortcut.py"""

import numpy as np
import pytest

from explorer import attribution, data, zoo
from explorer.data.shapes_shortcut import CORNERS, tagged

REF, SCENES = "zoo:shapes-shortcut", 25


def on_tag(method: str) -> float:
    """How often the peak of the map for the predicted class lies on the tag."""
    test = data.load("shapes-shortcut", "test")
    maps = [attribution.attribute(REF, test.x[index], method, seed=index) for index in range(SCENES)]
    return np.mean([test.tag_masks[i][np.unravel_index(m.scores.argmax(), m.scores.shape)] for i, m in enumerate(maps)])


@pytest.mark.parametrize("method", ["integrated_gradients", "deeplift", "saliency", "input_x_gradient", "lrp"])
def test_a_faithful_method_puts_its_peak_on_the_tag_more_often_than_chance_does(method):
    assert on_tag(method) > 0.8
    assert on_tag("random") < 0.2


def test_the_network_believes_a_lying_tag_and_is_lost_without_one():
    model = zoo.load(REF)
    scenes = data.load("shapes-shortcut", "test", tag="absent")
    believed = []
    for index in range(40):
        lie = int(scenes.y[index] + 3) % 10
        free = next(c for c in range(4) if not (tagged(scenes.x[index], lie, c)[1] & scenes.masks[index]).any())
        picture, mask = tagged(scenes.x[index], lie, free)
        assert mask.sum() == 49
        assert (picture[~mask] == scenes.x[index][~mask]).all()
        believed.append(model.predict(picture).argmax() == lie)
    assert np.mean(believed) > 0.9
    assert (model.predict(scenes.x[:100]).argmax(1) == scenes.y[:100]).mean() < 0.9


def test_a_moved_tag_is_still_believed_and_the_map_follows_it():
    scenes = data.load("shapes-shortcut", "test", tag="absent")
    clear = next(
        i for i in range(100)
        if not any((tagged(scenes.x[i], 0, c)[1] & scenes.masks[i]).any() for c in range(len(CORNERS)))
    )  # fmt: skip
    for corner in range(len(CORNERS)):
        picture, mask = tagged(scenes.x[clear], 2, corner)
        found = attribution.attribute(REF, picture, "integrated_gradients")
        assert found.target == 2
        assert mask[np.unravel_index(found.scores.argmax(), found.scores.shape)]
