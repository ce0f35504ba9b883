"""Borrowing: private trees over shared weights, and capturing what layers give out."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from explorer.borrow import Pool, capture, private
from explorer.errors import ExplorerError


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.last = nn.Linear(4, 4)
        self.last.weight = self.first.weight

    def forward(self, x):
        return self.last(self.first(x))


def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)
        )
    return made.eval().requires_grad_(False)


def pictures(count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def hooks(module: nn.Module) -> int:
    return sum(len(value) for part in module.modules() for name, value in vars(part).items() if name.endswith("hooks"))


def test_a_private_tree_computes_the_same_over_the_same_memory():
    shared = net()
    mine = private(shared)
    assert torch.equal(mine(pictures()), shared(pictures()))
    for a, b in zip(mine.parameters(), shared.parameters(), strict=True):
        assert a is not b
        assert a.data_ptr() == b.data_ptr()
    for a, b in zip(mine.buffers(), shared.buffers(), strict=True):
        assert a.data_ptr() != b.data_ptr()


def test_tied_weights_stay_tied():
    mine = private(Tied())
    assert mine.first.weight is mine.last.weight


def test_a_tree_borrowed_in_inference_mode_can_be_differentiated_later():
    pool = Pool(net())
    with torch.inference_mode(), pool.borrow() as first:
        pass
    with pool.borrow() as module:
        assert module is first
        x = pictures().requires_grad_()
        module(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_tree_that_comes_back_clean_is_lent_again():
    pool = Pool(net())
    with pool.borrow() as first:
        first(pictures())
    with pool.borrow() as second:
        assert second is first


def test_two_borrowers_at_once_have_trees_of_their_own():
    pool = Pool(net())
    with pool.borrow() as one, pool.borrow() as other:
        assert one is not other
        assert one[0] is not other[0]


@pytest.mark.parametrize(
    "harm",
    [
        lambda m: m[0].register_forward_hook(lambda *a: None),
        lambda m: m[0].register_forward_pre_hook(lambda *a: None),
        lambda m: m[0].register_forward_hook(lambda *a, **k: None, with_kwargs=True, always_call=True),
        lambda m: m[0].register_full_backward_hook(lambda *a: None),
        lambda m: m[0].register_full_backward_pre_hook(lambda *a: None),
        lambda m: m[0].register_backward_hook(lambda *a: None),
        lambda m: m[0].register_state_dict_pre_hook(lambda *a: None),
        lambda m: m[0].register_state_dict_post_hook(lambda *a: None),
        lambda m: m[0].register_load_state_dict_pre_hook(lambda *a: None),
        lambda m: m[0].register_load_state_dict_post_hook(lambda *a: None),
        lambda m: m.train(),
        lambda m: m[1].train(),
        lambda m: m[4].weight.requires_grad_(),
        lambda m: m[4].weight.requires_grad_().register_hook(lambda g: g),
        lambda m: setattr(m[4].weight, "grad", torch.zeros(3, 144)),
        lambda m: setattr(m[4].weight, "data", torch.zeros(3, 144)),
        lambda m: setattr(m[4], "weight", nn.Parameter(torch.zeros(3, 144), requires_grad=False)),
        lambda m: setattr(m[1], "running_mean", torch.ones(4)),
        lambda m: setattr(m, "2", nn.GELU()),
        lambda m: setattr(m[2], "inplace", False),
        lambda m: setattr(m[2], "forward", lambda x: x),
        lambda m: m.append(nn.ReLU()),
        lambda m: m.half(),
    ],
)
def test_a_tree_that_was_changed_is_not_lent_again_and_the_shared_one_is_unharmed(harm):
    shared = net()
    before, state = shared(pictures()), {name: value.clone() for name, value in shared.state_dict().items()}
    pool = Pool(shared)
    with pool.borrow() as module:
        harm(module)
    with pool.borrow() as again:
        assert again is not module
        assert torch.equal(again(pictures()), before)
    assert torch.equal(shared(pictures()), before)
    assert hooks(shared) == 0
    assert not any(part.training for part in shared.modules())
    assert all(not p.requires_grad and p.grad is None for p in shared.parameters())
    assert all(torch.equal(value, state[name]) for name, value in shared.state_dict().items())


def test_an_error_in_the_body_drops_the_tree_and_comes_through():
    pool = Pool(net())
    with pytest.raises(ZeroDivisionError), pool.borrow() as module:
        raise ZeroDivisionError
    with pool.borrow() as again:
        assert again is not module


def test_training_statistics_of_a_borrower_reach_nobody_else():
    shared = net()
    before = shared(pictures())
    pool = Pool(shared)
    with pool.borrow() as module:
        module.train()
        module(pictures(8, seed=1) * 100)
        module.eval()  # looks untouched, but its running statistics are not what they were
        assert not torch.equal(module(pictures()), before)
    with pool.borrow() as again:
        assert torch.equal(again(pictures()), before)
    assert torch.equal(shared(pictures()), before)


def test_weight_gradients_of_a_borrower_are_private():
    shared = net()
    pool = Pool(shared)
    with pool.borrow() as one, pool.borrow() as other:
        one.requires_grad_()
        one(pictures()).sum().backward()
        assert one[0].weight.grad is not None
        assert other[0].weight.grad is None
        assert not other(pictures()).requires_grad
    assert shared[0].weight.grad is None


def test_idle_trees_are_few():
    pool = Pool(net())
    with pool.borrow(), pool.borrow(), pool.borrow(), pool.borrow(), pool.borrow(), pool.borrow():
        pass
    assert len(pool._idle) == 4


def test_sixteen_threads_with_hooks_get_the_serial_results_and_leave_no_hook():
    shared = net()
    pool = Pool(shared)
    serial = {}
    for seed in range(16):
        tree = private(shared)
        with capture(tree) as outputs:
            tree(pictures(seed=seed))
        serial[seed] = outputs
    start = threading.Barrier(16)

    def work(seed: int) -> None:
        start.wait(10)
        for _ in range(10):
            with pool.borrow() as module:
                x = pictures(seed=seed).requires_grad_()
                with capture(module) as outputs:
                    module(x).sum().backward()
                assert outputs.keys() == serial[seed].keys()
                for name, value in outputs.items():
                    torch.testing.assert_close(value, serial[seed][name])

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(16)))
    assert hooks(shared) == 0
    assert all(hooks(tree.module) == 0 for tree in pool._idle)


def test_capture_names_every_layer_and_is_not_misled_by_work_in_place():
    module = private(net())
    with capture(module) as outputs:
        logits = module(pictures())
    assert list(outputs) == ["0", "1", "2", "3", "4"]
    assert torch.equal(outputs["4"], logits)
    assert outputs["1"].min() < 0  # before the ReLU that overwrites it
    assert torch.equal(outputs["2"], outputs["1"].relu())
    assert not any(value.requires_grad for value in outputs.values())
    assert hooks(module) == 0


def test_capture_in_the_graph_gives_gradients_at_a_layer():
    module = private(net())
    x = pictures().requires_grad_()
    with capture(module, ["1", "4"], graph=True) as outputs:
        module(x)
    (gradient,) = torch.autograd.grad(outputs["4"].sum(), outputs["1"])
    expected = (module[4].weight.sum(0).view(4, 6, 6) * (outputs["1"] > 0)).to(gradient)
    torch.testing.assert_close(gradient, expected)
    assert list(outputs) == ["1", "4"]


def test_capture_keeps_the_nesting_of_what_a_layer_gives():
    module = private(nn.Sequential(nn.LSTM(3, 2, batch_first=True)))
    with capture(module) as outputs:
        module(torch.zeros(1, 5, 3))
    sequence, (hidden, cell) = outputs["0"]
    assert (sequence.shape, hidden.shape, cell.shape) == ((1, 5, 2), (1, 1, 2), (1, 1, 2))


def test_capture_takes_its_hooks_away_after_an_error():
    module = private(net())
    with pytest.raises(RuntimeError), capture(module):
        module(torch.zeros(2, 5, 8, 8))
    assert hooks(module) == 0


def test_capture_refuses_a_layer_that_there_is_not():
    module = private(net())
    with pytest.raises(ExplorerError, match=r"'9'.*Its layers are: 0, 1, 2, 3, 4"), capture(module, ["0", "9"]):
        pass
    assert hooks(module) == 0


def test_a_dropped_tree_is_freed():
    pool = Pool(net())
    with pool.borrow() as module:
        module.train()
    weak = weakref.ref(module)
    del module
    gc.collect()
    assert weak() is None
