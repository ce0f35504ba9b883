"""Many at once, too little time, too little memory, odd pictures: python -m pytest tests/attribution/test_threads.py"""

import io
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from captum import attr
from PIL import Image
from torch import nn

from explorer import zoo
from explorer.attribution import METHODS, attribute, explain, open_case
from explorer.attribution.base import Score
from explorer.attribution.baselines import segments
from explorer.errors import ExplorerError
from explorer.turns import TURNS
from tests.attribution.nets import Functional, Residual, cheap, fitting, hooks, picture, picture_for, seeded, wrap

THREADS = 16
MODULE = sys.modules["explorer.attribution.explain"]  # the package has a function of that name


def one(model, method, seed=0, **settings):
    with open_case(model, picture_for(model, seed), seed % 3, None, "", seed) as case:
        return explain(case, method, **(cheap(method) | settings)).scores


def at_once(work, jobs):
    """Run the jobs on sixteen threads that set out together; gives what each returned or raised."""
    start = threading.Barrier(THREADS)

    def wait_and_work(job):
        start.wait(20)
        try:
            return work(job)
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(wait_and_work, jobs))


@pytest.mark.parametrize("make", [lambda: seeded(lambda: Residual(inplace=True)), lambda: seeded(Functional)])
def test_sixteen_threads_get_the_serial_results(make):
    calm = wrap(make(), (3, 8, 8))
    methods = fitting(calm)
    jobs = [(methods[number % len(methods)], number) for number in range(3 * THREADS)]
    serial = [one(calm, method, seed) for method, seed in jobs]
    net = make()
    model = wrap(net, (3, 8, 8))  # nothing is known of this one yet: its calls are followed while others explain
    flags = [getattr(part, "inplace", None) for part in net.modules()]
    found = at_once(lambda job: one(model, *job), jobs)
    for job, mine, theirs in zip(jobs, serial, found, strict=True):
        assert not isinstance(theirs, Exception), (job, theirs)
        np.testing.assert_allclose(theirs, mine, rtol=0, atol=1e-6 * max(1e-3, np.abs(mine).max()), err_msg=str(job))
    assert_untouched(net, flags)
    assert all(hooks(tree.module) == 0 for tree in model._pool._idle)


def assert_untouched(net, flags):
    assert hooks(net) == 0
    assert [getattr(part, "inplace", None) for part in net.modules()] == flags
    assert not any(part.training for part in net.modules())
    assert all(not weight.requires_grad and weight.grad is None for weight in net.parameters())
    assert not any("forward" in vars(part) for part in net.modules())


def test_threads_that_fail_disturb_no_other(monkeypatch):
    net = seeded(Residual)
    model = wrap(net, (3, 8, 8))
    methods = [method for method in fitting(model) if method not in ("lime", "random", "sobel")]
    jobs = [(methods[number % len(methods)], number) for number in range(2 * THREADS)]
    serial = [one(model, method, seed) for method, seed in jobs]
    forward, doomed = Score.forward, threading.local()

    def fails(self, x):
        out = forward(self, x)
        if getattr(doomed, "now", False):
            raise ZeroDivisionError
        return out

    monkeypatch.setattr(Score, "forward", fails)

    def work(job):
        doomed.now = job[1] % 3 == 0
        return one(model, *job)

    found = at_once(work, jobs)
    for (_, seed), mine, theirs in zip(jobs, serial, found, strict=True):
        if seed % 3 == 0:
            assert isinstance(theirs, ZeroDivisionError)
        else:
            np.testing.assert_allclose(theirs, mine, rtol=0, atol=1e-6 * np.abs(mine).max())
    assert_untouched(net, [getattr(part, "inplace", None) for part in net.modules()])


def test_getting_to_know_a_network_disturbs_nobody_who_uses_another():
    """torch.fx would change every module of the process while it follows a network's calls."""
    other = seeded(Residual)
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = other(x)
    done, wrong = threading.Event(), []

    def use():
        with torch.no_grad():
            while not done.is_set():
                try:
                    if not torch.equal(other(x), expected):
                        wrong.append("another answer")
                except Exception as error:  # noqa: BLE001
                    wrong.append(repr(error))

    thread = threading.Thread(target=use)
    before = nn.Module.__call__, nn.Module.__getattr__
    thread.start()
    try:
        at_once(lambda number: fitting(wrap(seeded(Functional, number), (3, 8, 8))), range(THREADS))
    finally:
        done.set()
        thread.join(20)
    assert not wrong, wrong[:3]
    assert (nn.Module.__call__, nn.Module.__getattr__) == before


class Slow(nn.Module):
    """A linear network that takes its time for every example."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        self.flatten, self.head = nn.Flatten(), nn.Linear(3 * 16 * 16, 3)

    def forward(self, x):
        if self.seconds:
            time.sleep(self.seconds * len(x))
        return self.head(self.flatten(x))


@pytest.fixture
def slow(monkeypatch):
    """A network of 4 ms an example, at 4 examples a batch; what a test makes of the clock is no load afterwards."""
    for kept in ("_load", "_loaded"):
        monkeypatch.setattr(TURNS, kept, getattr(TURNS, kept))
    monkeypatch.setattr(MODULE, "NUMBERS", 4 * 3 * 16 * 16)
    return wrap(seeded(lambda: Slow(0.004)), (3, 16, 16))


@pytest.mark.parametrize("method", ["lime", "kernel_shap", "smoothgrad", "gradient_shap"])
def test_a_method_of_samples_gives_what_it_had_when_the_time_is_up(method, slow, monkeypatch):
    many = {"samples": 100} if method == "smoothgrad" else {"samples": 200}
    forward, real, passes = Score.forward, time.monotonic(), []
    monkeypatch.setattr(time, "monotonic", lambda: real + 0.03 * len(passes))  # 30 ms a pass, however slow it is here

    def counted(self, x):
        scores = forward(self, x)
        passes.append(len(x))
        return scores

    monkeypatch.setattr(Score, "forward", counted)
    with open_case(slow, picture_for(slow), 1) as case:
        found = explain(case, method, seconds=0.15, **many)
        assert len(passes) < 10
        assert not found.complete
        assert 4 <= found.evaluations < many["samples"]
        assert np.isfinite(found.scores).all()
        assert found.scores.std() > 0
        again = explain(case, method, **{"samples": 20})
        assert again.complete, "the deadline of the last method is over"
        assert again.evaluations == 20


def test_what_was_begun_is_finished_when_the_time_is_up(slow, monkeypatch):
    """The samples that were drawn before the end count, though they do not fill a batch."""
    import explorer.attribution.methods.lime as module

    drawn, bernoulli = [], torch.bernoulli
    real = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: real + (1000 if len(drawn) >= 10 else 0))

    def draw(*args, **kwargs):
        drawn.append(1)
        return bernoulli(*args, **kwargs)

    monkeypatch.setattr(module.torch, "bernoulli", draw)
    with open_case(slow, picture_for(slow), 1) as case:
        found = explain(case, "lime", seconds=100)
    assert not found.complete
    assert found.evaluations == len(drawn) == 10


@pytest.mark.parametrize("method", ["occlusion", "feature_ablation", "integrated_gradients", "lime", "smoothgrad"])
def test_a_method_that_has_nothing_yet_says_that_it_was_cut_off(method, slow):
    title = METHODS[method].facts["title"]
    limit = 0.05 if method in ("occlusion", "feature_ablation", "integrated_gradients") else 0.0
    with open_case(slow, picture_for(slow), 1) as case:
        with pytest.raises(ExplorerError, match=f"{title}: it was cut off after {limit:g} seconds"):
            explain(case, method, seconds=limit)
        assert hooks(case.score) == 0
        assert explain(case, "saliency").complete


def test_a_slow_method_that_was_done_in_one_go_is_complete(slow, monkeypatch):
    forward, real, passes = Score.forward, time.monotonic(), []
    monkeypatch.setattr(time, "monotonic", lambda: real + 1000 * len(passes))

    def counted(self, x):
        scores = forward(self, x)
        passes.append(len(x))
        return scores

    monkeypatch.setattr(Score, "forward", counted)
    with open_case(slow, picture_for(slow), 1) as case:
        passes.clear()  # the case itself asks the network for its answer
        found = explain(case, "smoothgrad", seconds=100, samples=4)
    assert passes == [4]
    assert found.seconds > 100
    assert found.complete


WORDS = "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you asked for 9 bytes"


@pytest.mark.parametrize(
    "error",
    [RuntimeError(WORDS), RuntimeError("CUDA out of memory. Tried to allocate 9 bytes"), MemoryError()],
    ids=["torch", "cuda", "python"],
)
@pytest.mark.parametrize(
    "method", ["smoothgrad", "gradient_shap", "integrated_gradients", "occlusion", "feature_ablation", "kernel_shap"]
)
def test_where_memory_is_short_smaller_batches_give_the_same_map(method, error, monkeypatch):
    model = zoo.load("zoo:digits-lenet")
    settings = {"samples": 40} if METHODS[method].facts["random"] else {}
    whole = one(model, method, 5, **settings)
    forward, sizes = Score.forward, []

    def fails(self, x):
        sizes.append(len(x))
        if len(x) > 3:
            raise error
        return forward(self, x)

    monkeypatch.setattr(Score, "forward", fails)
    monkeypatch.setattr(MODULE, "NUMBERS", 16 * 64)
    found = one(model, method, 5, **settings)
    assert sizes[0] > 3 or sizes[1] > 3
    assert max(sizes[-3:]) <= 3
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-4 * np.abs(whole).max())


def test_where_memory_does_not_suffice_for_one_example_it_is_said(monkeypatch):
    model, calls = zoo.load("zoo:digits-lenet"), []

    def fails(self, *args, **kwargs):
        calls.append(1)
        raise MemoryError

    monkeypatch.setattr(attr.Occlusion, "attribute", fails)
    monkeypatch.setattr(MODULE, "NUMBERS", 64 * 64)
    with open_case(model, picture_for(model)) as case:
        with pytest.raises(ExplorerError, match="Occlusion: memory is too small"):
            explain(case, "occlusion")
        assert len(calls) == 4  # 64, 16, 4 and 1 at a time
        assert explain(case, "saliency").complete


def test_any_other_error_is_a_bug_and_comes_through(monkeypatch):
    def fails(self, *args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(attr.Saliency, "attribute", fails)
    with pytest.raises(RuntimeError, match="a bug"):
        attribute("zoo:digits-lenet", picture(8, 8, 1), "saliency")


def test_numbers_that_overflow_are_not_shown():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.ReLU())
    with torch.no_grad():
        net[1].weight.fill_(3e38)
    model = wrap(net, (1, 8, 8), 2)
    with open_case(model, picture(8, 8, 1), 0) as case, pytest.raises(ExplorerError, match="overflow"):
        explain(case, "input_x_gradient")


class OneClass(nn.Module):
    """A single logit, for what is either there or not."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()
        self.flatten, self.head = nn.Flatten(), nn.Linear(256, 1)

    def forward(self, x):
        return self.head(self.flatten(self.relu(self.conv(x))))


def test_a_network_of_one_class():
    model = wrap(seeded(OneClass), (1, 8, 8), 1)
    for method in fitting(model):
        with open_case(model, picture_for(model)) as case:
            found = explain(case, method, **cheap(method))
        assert found.target == 0
        assert found.scores.std() > 0, method
        with torch.no_grad():
            assert found.score == pytest.approx(float(case.score(case.x)), abs=1e-6)
    with pytest.raises(ExplorerError, match="Count from 0"), open_case(model, picture_for(model), 0, 1):
        pass


class OnePixel(nn.Module):
    """A network for pictures of one pixel."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.flatten, self.head = nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.flatten(self.relu(self.conv(x))))


def test_a_picture_of_one_pixel():
    model = wrap(seeded(OnePixel), (3, 1, 1))
    for method in fitting(model):
        with open_case(model, np.array([[[250, 20, 90]]], np.uint8), 1) as case:
            found = explain(case, method)
        assert found.scores.shape == (1, 1)
        assert np.isfinite(found.scores).all()
    assert {"grad_cam", "hirescam"}.isdisjoint(fitting(model))  # one cell is no map
    with open_case(model, np.array([[[250, 20, 90]]], np.uint8), 1) as case, torch.no_grad():
        change = float(case.score(case.x) - case.score(case.baseline("mean colour")))
        for method in ("kernel_shap", "feature_ablation", "occlusion", "deeplift"):
            found = explain(case, method)
            share = 3 if method == "occlusion" else 1  # the sum over three channels that are covered together
            assert found.scores.item() == pytest.approx(share * change, rel=1e-4)


def test_one_pixel_is_enlarged_for_a_network_that_wants_more():
    found = attribute("zoo:digits-lenet", np.array([[200]], np.uint8), "occlusion")
    assert (found.picture == 200).all()
    assert found.scores.shape == (8, 8)


def saliency(image):
    return attribute("zoo:shapes-resnet", image, "saliency", target=1)


def turned(pixels):
    """A file of a picture that lies on its side and says how the camera was held."""
    file, image = io.BytesIO(), Image.fromarray(np.rot90(pixels))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    image.save(file, "PNG", exif=exif)
    return Image.open(io.BytesIO(file.getvalue()))


def test_grey_transparent_and_turned_pictures():
    colour = picture(64, 64, 3)
    clear = np.dstack([colour, np.full((64, 64), 255, np.uint8)])
    clear[:32, :, 3] = 0
    white = colour.copy()
    white[:32] = 255
    grey = Image.fromarray(colour).convert("L")
    for given, plain in (
        (Image.fromarray(colour), colour),
        (grey, np.dstack([np.asarray(grey)] * 3)),
        (np.asarray(grey), np.dstack([np.asarray(grey)] * 3)),
        (clear, white),
        (Image.fromarray(clear), white),
        (turned(colour), colour),
    ):
        found, expected = saliency(given), saliency(plain)
        np.testing.assert_array_equal(found.picture, plain)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-5 * expected.scores.max())


def test_a_noisy_picture_falls_into_pieces_too():
    """SLIC alone gives up on noise and calls all of it one piece."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for count in (4, 40, 200):
        for image in (noise, picture(64, 64, 3), noise[..., :1], np.full((64, 64, 3), 90, np.uint8)):
            pieces = segments(image, count)
            assert pieces.shape == (64, 64)
            assert count / 4 <= pieces.max() + 1 <= count
            assert set(np.unique(pieces)) == set(range(pieces.max() + 1))
    for method in ("kernel_shap", "lime", "feature_ablation"):
        assert attribute("zoo:shapes-resnet", noise, method, **cheap(method)).scores.std() > 0
