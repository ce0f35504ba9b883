"""`zoo:` and `run:`: networks of ours, opened from their folders, damaged ones refused."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from explorer import runs, zoo
from explorer.errors import ExplorerError
from explorer.zoo import own
from tests.zoo.conftest import write_own

ID = "0123456789abcdef" * 2
DIGIT = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


@pytest.fixture
def run(configure, monkeypatch, tmp_path):
    """The folder of a run with checkpoints after 0, 5 and 9 steps, the best after 5."""
    folder = tmp_path / "run"
    for step in (0, 5, 9):
        write_own(folder, f"checkpoints/{step:08d}.safetensors", seed=step)
    (folder / "history.jsonl").write_text(
        "".join(
            json.dumps({"step": step, "validation_accuracy": accuracy, "validation_loss": 1.0}) + "\n"
            for step, accuracy in ((0, 0.1), (5, 0.9), (9, 0.8))
        )
    )

    def find(id: str):
        if id != ID:
            raise ExplorerError(f"The run {id!r}", "there is none of that id here", "Train one")
        return folder

    monkeypatch.setattr(runs, "folder", find)
    return folder


def test_importing_the_zoo_and_listing_it_imports_no_torch():
    code = "from explorer import zoo; zoo.cards(); zoo.parse('zoo:a'); import sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_shipped_model_opens_shared_frozen_and_in_evaluation_mode(shelf):
    write_own(shelf / "tiny")
    model = zoo.load("zoo:tiny")
    assert zoo.load("zoo:tiny") is model
    assert zoo.held() == [("zoo:tiny", model.bytes)]
    assert model.card.ref == "zoo:tiny"
    assert model.labels == ("a", "b", "c")
    assert model.bytes == model.card.bytes
    with model.borrow() as module:
        assert not any(part.training for part in module.modules())
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_cards_lists_the_shipped_models_by_task(shelf):
    write_own(shelf / "b")
    write_own(
        shelf / "a", task="points-classification", architecture="mlp", settings={}, shape=(2,), mean=(0, 0), std=(1, 1)
    )
    assert [card.ref for card in zoo.cards()] == ["zoo:a", "zoo:b"]
    assert [card.ref for card in zoo.cards("image-classification")] == ["zoo:b"]
    assert zoo.cards("chess") == []


def test_a_shipped_card_that_was_written_anew_is_read_anew(shelf):
    write_own(shelf / "tiny")
    card = shelf / "tiny" / "card.json"
    before = zoo.cards()[0]
    assert zoo.cards()[0] is before  # read once
    card.write_text(card.read_text().replace('"a"', '"z"'))
    os.utime(card, ns=(0, card.stat().st_mtime_ns + 10**6))
    assert zoo.cards()[0].labels == ("z", "b", "c")


def test_half_precision_weights_open_in_single_precision(shelf):
    write_own(shelf / "whole")
    write_own(shelf / "half", half=True)
    whole, half = (zoo.load(f"zoo:{name}") for name in ("whole", "half"))
    assert half.bytes == whole.bytes
    np.testing.assert_allclose(half.predict(DIGIT), whole.predict(DIGIT), atol=2e-3)


def test_predictions_are_those_of_the_bare_network(shelf):
    from explorer import models

    path = write_own(shelf / "tiny")
    module = models.build("lenet", (1, 8, 8), 3, width=4).eval()
    module.load_state_dict(load_file(path))
    x = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), dtype=np.uint8)
    with torch.no_grad():
        bare = module((torch.from_numpy(x).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25).softmax(1).numpy()
    model = zoo.load("zoo:tiny")
    np.testing.assert_allclose(model.predict(x), bare, rtol=1e-5)
    np.testing.assert_allclose(model.predict(x, batch=2), bare, rtol=1e-5)
    np.testing.assert_allclose(model.predict(list(x), batch=3), bare, rtol=1e-5)
    assert model.predict(x[:0]).shape == (0, 3)


def test_a_picture_of_any_size_and_mode_is_made_to_fit(shelf):
    write_own(shelf / "tiny")
    model = zoo.load("zoo:tiny")
    for picture in (Image.new("RGBA", (300, 200)), Image.new("P", (3, 9)), [Image.new("L", (8, 8)), DIGIT]):
        ready = model.preprocess(picture)
        assert ready.shape[1:] == (1, 8, 8)
        assert ready.dtype == torch.float32
    assert model.preprocess(np.full((8, 8), 255, np.uint8)).unique().item() == pytest.approx(2)
    assert model.predict([Image.new("RGBA", (300, 200)), DIGIT]).sum() == pytest.approx(2)
    with pytest.raises(ExplorerError, match="there are none"):
        model.predict([])


def test_points_are_normalised_and_checked(shelf):
    write_own(
        shelf / "dots", task="points-classification", architecture="mlp", settings={}, shape=(2,),
        labels=("in", "out"), mean=(1, 2), std=(2, 4),
    )  # fmt: skip
    model = zoo.load("zoo:dots")
    assert model.preprocess([3, 6]).tolist() == [[1, 1]]
    assert model.preprocess(np.array([[1.0, 2.0], [3.0, -2.0]])).tolist() == [[0, 0], [1, -1]]
    assert model.predict(np.zeros((500, 2)), batch=100).shape == (500, 2)
    for wrong in ([1, 2, 3], np.zeros((4, 3)), np.zeros((2, 2, 2))):
        with pytest.raises(ExplorerError, match="pairs of numbers"):
            model.preprocess(wrong)


def test_sixteen_threads_predict_the_same_while_the_store_is_too_small(configure, shelf):
    from concurrent.futures import ThreadPoolExecutor

    for seed in range(3):
        write_own(shelf / f"tiny{seed}", seed=seed)
    one = zoo.load("zoo:tiny0")
    configure(EXPLORER_STORE=str(one.bytes + 10))
    serial = [zoo.load(f"zoo:tiny{seed}").predict(DIGIT) for seed in range(3)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda seed: zoo.load(f"zoo:tiny{seed % 3}").predict(DIGIT), range(48)))
    for seed, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, serial[seed % 3])
    assert len(zoo.held()) == 1


def test_an_unknown_name_is_refused_with_the_names_there_are(shelf):
    write_own(shelf / "tiny")
    with pytest.raises(ExplorerError, match=r"no model of that name ships.*Open one of: zoo:tiny"):
        zoo.load("zoo:huge")


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _flip_header(path):
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def _empty(path):
    path.write_bytes(b"")


def _pickle(path):
    torch.save({"a": torch.zeros(1)}, path)


def _drop_one(path):
    state = load_file(path)
    del state["fc2.bias"]
    save_file(state, path)


def _add_one(path):
    save_file({**load_file(path), "extra": torch.zeros(1)}, path)


def _reshape_one(path):
    save_file({**load_file(path), "fc2.bias": torch.zeros(4)}, path)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_truncate, "it is damaged"), (_flip_header, "it is damaged"), (_empty, "it is damaged"),
        (_pickle, "it is damaged"), (_drop_one, "fc2.bias"), (_add_one, "extra"), (_reshape_one, "fc2.bias"),
        (lambda path: path.unlink(), "can't be read"),
    ],
)  # fmt: skip
def test_damaged_weights_are_refused_by_file_and_open_once_mended(shelf, harm, words):
    path = write_own(shelf / "tiny")
    whole = path.read_bytes()
    harm(path)
    with pytest.raises(ExplorerError, match=f"tiny/model.safetensors.*{words}"):
        zoo.load("zoo:tiny")
    assert zoo.held() == []
    path.write_bytes(whole)
    assert zoo.load("zoo:tiny").card.title == "tiny"


def test_a_card_that_asks_for_an_impossible_network_is_refused(shelf):
    path = write_own(shelf / "tiny")
    card = json.loads((path.parent / "card.json").read_text())
    for change in ({"architecture": "brain"}, {"settings": {"width": 10**9}}, {"settings": {"legs": 4}}):
        (shelf / "tiny" / "card.json").write_text(json.dumps(card | change))
        with pytest.raises(ExplorerError):
            zoo.load("zoo:tiny")


def test_weights_that_are_no_numbers_open_all_the_same(shelf):
    path = write_own(shelf / "tiny")
    save_file({**load_file(path), "fc2.bias": torch.full((3,), float("nan"))}, path)
    assert np.isnan(zoo.load("zoo:tiny").predict(DIGIT)).all()


def test_a_run_opens_at_its_best_checkpoint_and_at_any_other(run):
    best = zoo.load(f"run:{ID}")
    assert best.card.ref == f"run:{ID}@5"
    assert zoo.load(f"run:{ID}@5") is best
    last = zoo.load(f"run:{ID}@9")
    assert not np.array_equal(last.predict(DIGIT), best.predict(DIGIT))


def test_a_run_that_gets_better_opens_at_the_new_best(run):
    before = zoo.load(f"run:{ID}")
    with (run / "history.jsonl").open("a") as file:
        file.write(json.dumps({"step": 9, "validation_accuracy": 0.99, "validation_loss": 0.1}) + "\n")
    assert zoo.load(f"run:{ID}").card.ref == f"run:{ID}@9"
    assert zoo.load(f"run:{ID}@5") is before


def test_a_run_without_that_checkpoint_or_any_is_refused(run):
    with pytest.raises(ExplorerError, match="after the steps 0, 5, 9"):
        zoo.load(f"run:{ID}@7")
    with pytest.raises(ExplorerError, match="none of that id"):
        zoo.load("run:" + "f" * 32)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ExplorerError, match="no checkpoint yet"):
        zoo.load(f"run:{ID}")


def test_a_run_whose_card_is_gone_is_refused(run):
    (run / "card.json").unlink()
    with pytest.raises(ExplorerError, match=r"card\.json"):
        zoo.load(f"run:{ID}")


def test_running_out_of_memory_is_not_taken_for_damage(shelf, monkeypatch):
    from explorer import models

    path = write_own(shelf / "tiny")

    def build(*args, **settings):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(models, "build", build)
    with pytest.raises(RuntimeError, match="out of memory"):
        own.open_weights(zoo.cards()[0], path)
    with pytest.raises(ExplorerError, match="not enough memory"):
        zoo.load("zoo:tiny")
