"""Which layer the Activations page begins with: python -m pytest tests/ui/test_activations_question.py"""

import numpy as np
import pytest

from explorer.activations import Activations, Layer, capture
from explorer.errors import ExplorerError
from explorer.ui.activations.question import usual_layer


def seen(*layers: Layer) -> Activations:
    return Activations("file:tiny", layers, np.zeros((1, 2), np.float32), {})


def test_the_first_or_the_last_that_acts_on_maps():
    found = capture("zoo:shapes-resnet")
    assert usual_layer(found) == "stem.relu"
    assert usual_layer(found, late=True) == "stage3.1.relu2"
    assert usual_layer(capture("zoo:story-gpt")) == "transformer.h.0.mlp.act"


def test_without_an_activation_function_any_layer_that_gives_numbers():
    silent, linear = Layer("a", "Silent"), Layer("b", "Linear", np.ones((1, 3)))
    assert usual_layer(seen(silent, linear)) == "b"
    with pytest.raises(ExplorerError, match="none gives out numbers"):
        usual_layer(seen(silent))
    with pytest.raises(ExplorerError, match="Choose another network"):
        usual_layer(seen())
