"""The map: order, shapes, costs, flows, and what breaks: python -m pytest tests/activations/test_modelmap.py"""

import numpy as np
import pytest
import torch
from torch import nn

from explorer import zoo
from explorer.activations import feed
from explorer.activations.modelmap import Link, lift, model_map, resized, sizes, values
from explorer.errors import ExplorerError
from tests.attribution.nets import Residual, hooks, picture_for, seeded, wrap

SHIPPED = [card.ref for card in zoo.cards()]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(make, side: int = 8, time_it: bool = False, channels: int = 3):
    """The map of a small network of pictures."""
    model = wrap(seeded(make) if not isinstance(make, nn.Module) else make, (channels, side, side))
    return model_map(model, picture_for(model), time_it)


def flows(found, inside: str) -> set[tuple]:
    """What flows inside one box."""
    return {(link.source, link.target, link.through) for link in found.edges if link.inside == inside}


@pytest.mark.parametrize("ref", SHIPPED)
def test_every_shipped_network_is_mapped_whole(ref):
    model = zoo.load(ref)
    found = model_map(model)
    with model.borrow() as net:
        parts = dict(net.named_modules())
        assert {node.module for node in found} == set(parts)
        assert hooks(net) == 0
        total = sum(weight.numel() for weight in net.parameters())
    assert found.root.parameters == total
    assert found.failed is None
    assert found.passes >= 3
    assert not found.uncounted
    names = {node.name for node in found}
    assert {link.source for link in found.edges} | {link.target for link in found.edges} <= names | {None}
    assert all(node.parent in names for node in found.nodes[1:])
    own = found.root.flops - sum(node.flops for node in found if node.parent == "")
    assert 0 <= own < found.root.flops
    for node in found:
        children = [one for one in found if one.parent == node.name]
        assert node.flops >= sum(one.flops for one in children)
        if any(one.ran for one in children):
            assert node.bytes == sum(one.bytes for one in children)
        if node.out_shape:
            assert node.ran
            assert node.milliseconds > 0
    with model.borrow() as again:
        assert again is net


def test_every_tensor_of_a_shipped_network_reaches_the_answer():
    """Whatever runs is fed, and feeds something, but for what is made of nothing."""
    for ref in ("zoo:shapes-resnet", "zoo:shapes-vit", "zoo:story-gpt"):
        found = model_map(zoo.load(ref), time_it=False)
        sources, targets = ({getattr(link, end) for link in found.edges} for end in ("source", "target"))
        running = {node.name for node in found if node.ran and node.parent is not None}
        assert running <= sources, ref
        assert len(running - targets) <= 2, ref  # positions are counted out by the network itself


def test_a_residual_block_joins_what_came_in_with_what_it_made():
    found = drawn(Residual)
    inside = "blocks.0"
    assert flows(found, inside) == {
        (None, f"{inside}.conv1", ()),
        (f"{inside}.conv1", f"{inside}.relu", ()),
        (f"{inside}.relu", f"{inside}.conv2", ()),
        (f"{inside}.conv2", f"{inside}.relu#2", ("add",)),
        (None, f"{inside}.relu#2", ("add",)),
        (f"{inside}.relu#2", None, ()),
    }
    assert flows(found, "blocks") == {
        (None, "blocks.0", ()), ("blocks.0", "blocks.1", ()), ("blocks.1", None, ()),
    }  # fmt: skip
    assert ("conv", "blocks", ()) in flows(found, "")
    assert ("head", None, ()) in flows(found, "")


@pytest.mark.parametrize("inplace", [False, True])
def test_work_in_place_flows_the_same_way(inplace):
    assert drawn(lambda: Residual(inplace)).links == drawn(lambda: Residual(False)).links


def test_a_layer_that_runs_twice_is_two_nodes_with_the_weights_counted_once():
    found = drawn(Residual, time_it=True)
    first, second = found["blocks.0.relu"], found["blocks.0.relu#2"]
    assert (first.calls, second.calls, second.module) == (2, 2, "blocks.0.relu")
    assert first.flops == second.flops == 6 * 8 * 8
    order = [node.name for node in found if node.parent == "blocks.0"]
    assert [name.rpartition(".")[2] for name in order] == ["conv1", "relu", "conv2", "relu#2"]
    assert second.parameters == 0
    assert second.milliseconds > 0


def test_more_calls_than_can_be_read_are_one_node():
    class Often(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Linear(192, 2)

        def forward(self, x):
            for _ in range(9):
                x = self.conv(x)
            return self.head(x.flatten(1))

    found = drawn(Often)
    assert [node.name for node in found] == ["", "conv", "head"]
    assert found["conv"].calls == 9
    assert found["conv"].flops == 9 * 2 * 64 * 9
    assert flows(found, "") == {(None, "conv", ()), ("conv", "head", ("",)), ("head", None, ())}


def test_shared_weights_and_costs_add_up_by_hand():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.idle = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 9)
            self.b.weight = self.a.weight
            self.flat = nn.Flatten()

        def forward(self, x):
            return self.b(torch.relu(self.a(self.flat(x))))

    found = drawn(Tied, 2, channels=1)
    assert found["a"].parameters == found["b"].parameters == 20
    assert found.root.parameters == 20 + 4 + 45
    assert found["a"].flops == 32
    assert found.root.flops == 32 + 4 + 32
    assert (found["flat"].bytes, found["a"].bytes, found.root.bytes) == (0, 16, 32)  # a view holds nothing of its own
    assert ("a", "b", ("relu",)) in flows(found, "")
    idle = found["idle"]
    assert not idle.ran
    assert idle.out_shape is None
    assert "did not run" in idle.note
    assert [node.name for node in found] == ["", "flat", "a", "b", "idle"]


def test_attention_in_a_modules_own_code_is_named_whichever_kernel_computes_it():
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.head = nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            x = self.read(x)
            return self.head(nn.functional.scaled_dot_product_attention(x, x, x).mean((1, 2)))

    assert ("read", "head", ("attention", "mean")) in flows(drawn(Looks), "")


def test_attention_computes_with_weights_of_a_layer_that_does_not_run():
    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.look, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            x = x.flatten(2).mT
            return self.head(self.look(x, x, x)[0].mean(1))

    noise = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    found = model_map(wrap(seeded(Looks), (4, 4, 4)), noise, False)
    assert not found["look.out_proj"].ran
    assert "computes with its weights" in found["look.out_proj"].note
    assert found["look"].out_shape == (1, 16, 4)
    assert found["look"].bytes > 0
    assert ("look", "head", ("mean",)) in flows(found, "")


@pytest.mark.parametrize(("name", "side"), [("resnet18", 64), ("densenet121", 64), ("efficientnet_b0", 64),
                                            ("vit_b_16", 224)])  # fmt: skip
def test_networks_of_torchvision_with_random_weights(name, side):
    from torchvision import models

    from explorer.ui.modelmap import FITS, Tree, encode

    with torch.random.fork_rng():
        net = getattr(models, name)(num_classes=5)
    found = model_map(wrap(net, (3, side, side), 5), time_it=False)
    assert found.failed is None
    assert not found.uncounted
    assert found.root.out_shape == (1, 5)
    tree = Tree(found)
    assert 3 <= len(tree.seen(tree.first())) <= FITS
    told = encode(found)
    assert len(told["nodes"]) >= len(found.nodes)
    if name == "densenet121":
        inside = "features.denseblock1"
        sources = {source for source, target, _ in flows(found, inside) if target == f"{inside}.denselayer3"}
        assert sources == {None, f"{inside}.denselayer1", f"{inside}.denselayer2"}


def test_a_picture_of_another_size_shows_where_it_breaks():
    model = wrap(seeded(Residual), (3, 8, 8))
    given = feed(model, picture_for(model))
    good = model_map(model, resized(given, 16), False)
    assert good.failed is None
    assert good["blocks"].out_shape == (1, 6, 16, 16)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5), nn.ReLU())
    model = wrap(net, (3, 8, 8), 5)
    found = model_map(model, resized(feed(model, picture_for(model)), 9))
    failed = found.failed
    assert failed.name == "2"
    assert failed.in_shapes == ((1, 196),)
    assert failed.failure.weights == {"weight": (5, 144), "bias": (5,)}
    assert "196" in failed.failure.error
    assert "\n" not in failed.failure.error
    assert found["1"].out_shape == (1, 196)
    assert not found["3"].ran
    assert found.root.out_shape is None
    assert found.passes == 0
    assert found.root.milliseconds is None
    with model.borrow() as tree:
        assert hooks(tree) == 0
    assert model_map(model, picture_for(model), False).failed is None


def test_too_many_tokens_break_where_the_positions_are():
    model = zoo.load("zoo:story-gpt")
    given = feed(model, "The keys were lost.")
    assert model_map(model, resized(given, model.longest), False).failed is None
    found = model_map(model, resized(given, model.longest + 1), False)
    assert found.failed is not None
    assert found.failed.kind == "Embedding"
    assert str(model.longest) in found.failed.failure.error
    assert found.failed.failure.weights["weight"][0] == model.longest


def test_a_tensor_goes_in_as_it_is():
    model = wrap(seeded(Residual), (3, 8, 8))
    assert model_map(model, torch.zeros(2, 3, 8, 8), False).root.out_shape == (2, 3)
    found = model_map(model, torch.zeros(1, 5, 8, 8), False)
    assert found.failed.name == "conv"
    assert found.failed.failure.weights["weight"] == (6, 3, 3, 3)


def test_a_failure_in_a_modules_own_code_is_that_modules():
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.table = nn.Conv2d(3, 4, 1), nn.Parameter(torch.zeros(4, 8, 8))

        def forward(self, x):
            return (self.conv(x) + self.table).mean((2, 3))

    model = wrap(nn.Sequential(Adds()), (3, 8, 8), 4)
    found = model_map(model, torch.zeros(1, 3, 9, 9), False)
    assert found.failed.name == "0"
    assert found.failed.failure.weights == {"table": (4, 8, 8)}
    assert found["0.conv"].out_shape == (1, 4, 9, 9)


def test_sizes_are_held_to_the_limits_of_the_server():
    model = zoo.load("zoo:digits-lenet")
    given = feed(model, np.zeros((8, 8), np.uint8))
    most, what = sizes(model)
    assert what == "pixels a side"
    assert resized(given, 12).inputs["x"].shape == (1, 1, 12, 12)
    for size in (0, most + 1):
        with pytest.raises(ExplorerError, match="allows 1 to"):
            resized(given, size)
    with pytest.raises(ExplorerError, match="no other size"):
        resized(feed(zoo.load("zoo:points-diffusion")), 3)


def test_links_between_any_nodes_become_links_between_neighbours():
    parents = {"": None, "a": "", "a.x": "a", "b": "", "b.y": "b", "b.y.z": "b.y"}
    assert set(lift([Link("", "a.x", "b.y.z", ("add",))], parents)) == {
        Link("a", "a.x", None), Link("", "a", "b", ("add",)), Link("b", None, "b.y"), Link("b.y", None, "b.y.z"),
    }  # fmt: skip
    assert set(lift([Link("", None, "b.y", ("mul",)), Link("", "a.x", None)], parents)) == {
        Link("", None, "b", ("mul",)), Link("b", None, "b.y"), Link("a", "a.x", None), Link("", "a", None),
    }  # fmt: skip
    assert lift([Link("", "a", "a")], parents) == ()


def test_values_in_short():
    found = values(np.array([[0.0, -1.0, 3.0, np.inf]], np.float32))
    assert (found.low, found.high, found.odd) == (-1, 3, 1)
    assert found.mean == pytest.approx(2 / 3)
    assert found.zeros == pytest.approx(1 / 3)
    assert found.std == pytest.approx(np.std([0, -1, 3]))
    assert np.isnan(values(np.array([np.nan])).mean)


def test_a_name_that_is_not_there_is_refused():
    found = drawn(Residual)
    assert "head" in found
    assert "tail" not in found
    with pytest.raises(ExplorerError, match="none of that name"):
        found["tail"]
