"""What holds for every registered data set."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from explorer import data
from explorer.data.base import divide
from explorer.data.text import IGNORED
from explorer.errors import ExplorerError
from explorer.params import params
from explorer.settings import settings

pytestmark = pytest.mark.usefixtures("small", "torchvision_files")
KINDS = {"image": np.uint8, "points": np.float32, "text": np.int64, "text-pairs": np.int64}
every_dataset = pytest.mark.parametrize("name", list(data.DATASETS))


@every_dataset
def test_it_says_what_it_is_and_its_defaults_are_in_range(name):
    entry = data.DATASETS[name]
    assert entry.summary.endswith(".")
    for param in params(entry.make).values():
        assert param.control.wrong(param.default) is None
        assert param.control.help


@every_dataset
@pytest.mark.parametrize("split", data.SPLITS)
def test_it_is_what_its_facts_promise_and_nobody_can_change_it(name, split):
    found, about = data.load(name, split), data.about(name)
    assert (found.name, found.split, found.task) == (name, split, about.task)
    assert found.shape == about.shape
    assert len(found.labels) == about.classes
    assert len(found) == len(found.x) == len(found.y) > 0
    assert found.y.dtype == np.int64
    assert set(found.y[found.y != IGNORED]) <= set(range(about.classes))
    assert found.x.dtype == KINDS[about.task]
    if about.task == "points":
        assert np.isfinite(found.x).all()
        assert np.abs(found.x).max() < 2
    for array in (found.x, found.y, found.masks, found.tags, found.tag_boxes):
        assert array is None or (len(array) == len(found) and not array.flags.writeable)
    if found.masks is not None:
        assert found.masks.shape == found.x.shape[:3]
        assert found.masks.any((1, 2)).all()
    for parallel in (found.captions, found.texts, found.answers, found.roles):
        assert parallel is None or len(parallel) == len(found)
    assert bool(found.tokenizer) == (found.texts is not None) == about.task.startswith("text")
    assert found.nbytes >= found.x.nbytes


@every_dataset
def test_a_seed_gives_the_same_data_twice_and_another_seed_others(name):
    make, kept = data.DATASETS[name].make, settings().data / "cache"
    first, other = make("train", 0), make("train", 1)
    shutil.rmtree(kept, ignore_errors=True)  # else they would only be read again
    again = make("train", 0)
    assert np.array_equal(first.x, again.x)
    assert np.array_equal(first.y, again.y)
    assert first.captions == again.captions
    assert not np.array_equal(first.x, other.x)


@every_dataset
def test_no_example_is_in_two_splits(name):
    seen = [{example.tobytes() for example in data.load(name, split).x} for split in data.SPLITS]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


@every_dataset
def test_an_unknown_setting_is_refused(name):
    with pytest.raises(ExplorerError, match="no setting 'colour'"):
        data.load(name, colour="red")


def test_an_unknown_name_split_or_seed_is_refused():
    with pytest.raises(ExplorerError, match=r"Choose one of: .*digits"):
        data.load("digitz")
    with pytest.raises(ExplorerError, match="no split 'dev'"):
        data.load("digits", "dev")
    for seed in (-1, 1.5, True, 2**32):
        with pytest.raises(ExplorerError, match="seed"):
            data.load("digits", seed=seed)


def test_a_split_is_loaded_once_and_shared():
    assert data.load("digits", "test").x is data.load("digits", "test").x
    with pytest.raises(ValueError, match="read-only"):
        data.load("digits", "test").x[0] = 0


def test_digits_divide_every_class_alike():
    sizes = {split: len(data.load("digits", split)) for split in data.SPLITS}
    assert sum(sizes.values()) == 1797
    assert sizes == {"train": 1259, "validation": 179, "test": 359}
    assert set(np.bincount(data.load("digits", "test").y)) <= {35, 36, 37}


def test_a_division_is_whole_and_gives_every_part_every_class():
    y = np.repeat([0, 1, 2], [3, 10, 100])
    parts = divide(y, (0.1, 0.2), np.random.default_rng(0))
    assert sorted(np.concatenate(parts)) == list(range(len(y)))
    assert [np.bincount(y[part]).tolist() for part in parts] == [[1, 1, 10], [1, 2, 20], [1, 7, 70]]


def test_importing_the_data_sets_loads_no_heavy_library():
    code = "import explorer.data, sys; print({'torch', 'sklearn', 'torchvision', 'scipy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
