"""The registry: python -m pytest tests/test_registry.py"""

import pickle

import pytest

from explorer.errors import ExplorerError
from explorer.registry import Registry


def test_a_function_registers_once_and_keeps_its_facts():
    animals = Registry("animal")

    @animals.register("cat", legs=4)
    def cat():
        """A small hunter.

        More of it.
        """
        return "meow"

    assert cat() == "meow"
    assert animals["cat"].make is cat
    assert animals["cat"].summary == "A small hunter."
    assert animals["cat"].facts == {"legs": 4}
    assert list(animals) == ["cat"]
    assert "cat" in animals
    assert "dog" not in animals
    with pytest.raises(ValueError, match="two animals are called 'cat'"):
        animals.register("cat")(lambda: None)


def test_an_unknown_name_is_refused_with_what_there_is():
    animals = Registry("animal")
    animals.register("cat")(lambda: None)
    with pytest.raises(ExplorerError, match=r"The animal 'dog': there is none of that name\. Choose one of: cat\."):
        animals["dog"]


def test_an_error_says_three_things_and_survives_pickling():
    error = ExplorerError("The model 'x'", "it is damaged", "Open another")
    assert str(error) == "The model 'x': it is damaged. Open another."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
