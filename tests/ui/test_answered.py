"""What a network answers is kept by the content of what it was shown, whatever that is."""

import numpy as np
import pytest
from PIL import Image

from explorer import zoo
from explorer.ui.models import answered

GREY = np.full((1, 8, 8, 1), 90, np.uint8)


@pytest.mark.parametrize("x", [GREY, Image.new("L", (20, 30), 90), Image.new("RGB", (9, 9), (90, 20, 200))])
def test_arrays_and_pictures_get_their_own_answers(x):
    model = zoo.load("zoo:digits-lenet")
    assert (answered(model, x) == model.predict(x)[0]).all()
    assert answered(model, x) is answered(model, x.copy())


def test_points_too():
    model = zoo.load("zoo:points-mlp")
    a, b = np.array([[0.1, 0.2]], np.float32), np.array([[0.1, 0.3]], np.float32)
    assert (answered(model, a) == model.predict(a)[0]).all()
    assert (answered(model, b) != answered(model, a)).any()
