"""The command that the code panel prints: python -m pytest tests/ui/test_training_code.py"""

import shlex

import pytest

from explorer import data, models
from explorer.training import TrainConfig
from explorer.training.__main__ import _config, _parser, _parts
from explorer.ui.training.code import command


def read(text):
    """The config that a command asks for."""
    words = shlex.split(text.replace("\\\n", " "))
    assert words[:3] == ["python", "-m", "explorer.training"]
    arguments, rest = _parser().parse_known_args(words[3:])
    arguments.parts = _parts(rest)
    return _config(arguments)


@pytest.mark.parametrize("model", list(models.MODELS))
def test_the_command_of_every_architecture_with_all_its_settings_asks_for_that_config(model):
    dataset = next(name for name in data.DATASETS if data.DATASETS[name].facts["task"] in models.reads(model))
    config = TrainConfig(dataset, model, 3, lr=2e-5, nesterov=True, clip_norm=0.0).complete()
    assert read(command(config)) == config


def test_a_value_of_several_words_stays_one():
    config = TrainConfig(model="cnn-transformer", model_settings={"pool": "class token"})
    assert "--model.pool 'class token'" in command(config)
    assert read(command(config)) == config
