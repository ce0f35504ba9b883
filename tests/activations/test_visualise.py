"""Pictures drawn for a unit: python -m pytest tests/activations/test_visualise.py"""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explorer import jobs, zoo
from explorer.activations import visualise as drawing
from explorer.activations.capture import capture
from explorer.activations.visualise import Drawing, alike, asked_of, found_of, variation, visualise
from explorer.errors import ExplorerError
from tests.activations import nets

ASKED = Drawing("file:tiny", "3", 2, steps=24, pictures=2)


def tiny(seed: int = 0):
    """Two convolutions of random weights for 16×16 pictures."""
    make = lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())  # noqa: E731
    return nets.model(nets.seeded(make, seed), (3, 16, 16))


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.mark.parametrize("asked", [ASKED, replace(ASKED, fourier=False), replace(ASKED, moved=False),
                                   replace(ASKED, place="centre")])  # fmt: skip
def test_the_activation_rises_far_above_noise(model, asked):
    found = visualise(asked, model=model)
    assert found.course.shape == (25, 2)
    assert (found.course[-1] > found.course[0]).all()
    assert found.course[-1].min() > found.noise.max()


def test_the_least_falls_below_what_noise_has(model):
    found = visualise(replace(ASKED, goal="least", layer="2"), model=model)
    assert found.course[-1].max() < found.noise.min()
    assert not found.before
    behind = visualise(replace(ASKED, goal="least"), model=model)  # the ReLU itself can't fall below zero
    assert behind.before
    assert behind.course[-1].max() < 0


def test_the_course_is_what_the_layer_gives(model):
    found = visualise(replace(ASKED, layer="2"), model=model)
    values = capture(model, found.pictures, ["2"])["2"].output[:, 2].mean((1, 2))
    np.testing.assert_allclose(found.course[-1], values, atol=0.02)  # pictures are rounded to 256 steps
    np.testing.assert_array_equal(found.frames[-1], found.pictures)
    assert found.frame_steps[[0, -1]].tolist() == [0, 24]


def test_a_silent_relu_is_driven_by_what_goes_in():
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU())
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.fill_(-2.0)  # grey gives -2
    found = visualise(Drawing("file:tiny", "1", 0, steps=40, pictures=1), model=nets.model(net, (3, 8, 8)))
    assert found.course[0, 0] == 0
    assert found.course[-1, 0] > 0.3


def test_the_same_seed_gives_the_same_pictures_whatever_torch_was_seeded_with(model):
    torch.manual_seed(1)
    first = visualise(ASKED, model=model)
    torch.manual_seed(2)
    again = visualise(ASKED, model=model)
    np.testing.assert_array_equal(first.pictures, again.pictures)
    np.testing.assert_array_equal(first.course, again.course)
    other = visualise(replace(ASKED, seed=1), model=model)
    assert (other.pictures != first.pictures).any()


def test_every_regulariser_does_what_it_says(model):
    rough = replace(ASKED, fourier=False, moved=False, steps=40)
    plain = visualise(rough, model=model)
    assert visualise(replace(rough, variation=8.0), model=model).variations.mean() < 0.8 * plain.variations.mean()
    assert visualise(replace(rough, blur=1.0), model=model).variations.mean() < 0.8 * plain.variations.mean()
    assert visualise(replace(rough, fourier=True), model=model).variations.mean() < plain.variations.mean()

    def size(found):  # of what the network is given: its mean is 0.5, its spread 0.25
        return (((found.pictures / 255 - 0.5) / 0.25) ** 2).mean()

    assert size(visualise(replace(rough, decay=4.0), model=model)) < 0.8 * size(plain)
    moved = visualise(replace(rough, moved=True), model=model)
    assert (moved.pictures != plain.pictures).any()


def test_diversity_makes_pictures_less_alike(model):
    def likeness(weight):
        found = visualise(replace(ASKED, steps=60, pictures=3, diversity=weight), model=model)
        states = torch.from_numpy(capture(model, found.pictures, ["3"])["3"].output).movedim(1, -1)
        return float(alike(states))

    assert likeness(8.0) < likeness(0.0)


def test_alike_and_variation_by_hand():
    one = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])  # (P, places, K): two the same, one at right angles
    assert float(alike(one)) == pytest.approx(1 / 3)
    assert float(alike(one[:1])) == 0
    steps = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    assert float(variation(steps)) == pytest.approx(0.5)


def test_features_of_patches_can_be_drawn():
    found = visualise(Drawing("zoo:shapes-vit", "blocks.0.mlp.gelu", 3, steps=8, pictures=1))
    assert found.pictures.shape == (1, 64, 64, 3)
    assert found.course[-1, 0] > found.course[0, 0]
    assert len(found.data) == drawing.COMPARED
    assert found.data[found.best] == found.data.max()


def test_a_borrowed_tree_comes_back_untouched(model):
    with model.borrow() as module:
        pass
    visualise(replace(ASKED, steps=8), model=model)
    with model.borrow() as again:
        assert again is module


def test_a_job_leaves_what_a_plain_call_gives():
    asked = Drawing("zoo:digits-lenet", "relu2", 5, steps=16, pictures=1)
    id = drawing.start(asked, "somebody")
    assert asked_of(id) == asked
    until = time.monotonic() + 90
    while not jobs.engine().status(id).over and time.monotonic() < until:
        time.sleep(0.1)
    assert jobs.engine().status(id).state == "finished"
    found, here = found_of(id), visualise(asked)
    np.testing.assert_allclose(found.course, here.course, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.data, here.data, rtol=1e-3, atol=1e-3)
    assert found.best == here.best
    assert drawing.so_far(id).shape == (1, 8, 8, 1)


def test_a_job_stops_when_it_is_told_to(tmp_path):
    reported = []
    request = {"id": "0" * 32, "asked": vars(Drawing("zoo:digits-lenet", "relu2", 5, steps=16, pictures=1))}
    assert drawing.run(request, reported.append, lambda: len(reported) == 3) == {}
    assert len(reported) == 3
    assert found_of("0" * 32) is None


@pytest.mark.parametrize("id", ["../../etc", "f" * 32, ""])
def test_an_unknown_drawing_is_refused(id):
    with pytest.raises(ExplorerError, match="there is none of that name here"):
        asked_of(id)


@pytest.mark.parametrize("ref", ["zoo:points-flow", "zoo:story-gpt", "zoo:digits-diffusion"])
def test_what_can_t_be_drawn_is_refused(ref):
    model = zoo.load(ref)
    assert drawing.unfit(model)
    with pytest.raises(ExplorerError, match="Open a classifier of pictures"):
        visualise(replace(ASKED, ref=ref))


@pytest.mark.parametrize("wrong", [{"goal": "fun"}, {"place": "left"}, {"steps": 4}, {"pictures": 0}, {"blur": -1.0}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ExplorerError):
        replace(ASKED, **wrong)


@pytest.mark.parametrize("wrong", [{"unit": 8}, {"unit": -1}, {"layer": "9"}, {"layer": "0#2"}])
def test_no_such_unit(model, wrong):
    with pytest.raises(ExplorerError):
        visualise(replace(ASKED, **wrong), model=model)
