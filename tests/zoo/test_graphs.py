"""A graph answers as its network does, to the last bit, or is not used: python -m pytest tests/zoo/test_graphs.py"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from explorer import data, zoo
from explorer.diffusion import sample
from explorer.diffusion.sample import drawn
from explorer.zoo import graphs
from explorer.zoo.graphs import AFTER, MOST, Graphs
from tests.diffusion import nets


def said(network, x, time, given):
    return network(x) * time + (0 if given is None else given)


def asked(held, network, times=2, rows=1, given=None):
    with torch.inference_mode():
        return [held.ask(network, torch.ones(rows, 3) * at, torch.tensor(1.0 + at), given) for at in range(times)]


@pytest.fixture
def network():
    return nets.seeded(lambda: nn.Sequential(nn.Linear(3, 3), nn.Tanh()))


@pytest.fixture
def counted(network):
    """The network and how often Python itself asked it."""
    network.calls = 0

    def answer(net, x, time, given):
        network.calls += 1
        return said(net, x, time, given)

    return network, answer


def test_a_shape_that_is_asked_for_often_is_answered_without_python(counted):
    network, answer = counted
    held = Graphs(network, answer)
    found = asked(held, network, AFTER + 10)
    assert network.calls == AFTER + 1 + 1  # the graph is made of one, and tried at another
    wanted = [said(network, torch.ones(1, 3) * at, torch.tensor(1.0 + at), None) for at in range(AFTER + 10)]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_it_reads_the_shared_weights_and_takes_none_of_its_own(counted):
    network, answer = counted
    held = Graphs(network, answer)
    asked(held, network, AFTER + 2)
    (graph,) = held._made.values()
    mine = {one.data_ptr() for one in network.parameters()}
    assert {one.data_ptr() for one in graph._traced.parameters()} == mine
    with torch.no_grad():
        network[0].weight.zero_()  # nobody may; it shows where the graph reads
        network[0].bias.zero_()
    assert asked(held, network)[1].abs().sum() == 0


def test_what_python_reads_of_the_time_is_never_answered_by_a_graph(network):
    def answer(net, x, time, given):
        return net(x) * float(time)  # written into the graph as it was

    held = Graphs(network, answer)
    found = asked(held, network, AFTER + 5)
    (graph,) = held._made.values()
    assert graph.good == {1: False}
    wanted = [answer(network, torch.ones(1, 3) * at, 1.0 + at, None) for at in range(AFTER + 5)]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_what_cannot_be_traced_is_asked_as_ever(network):
    def answer(net, x, time, given):
        if torch.jit.is_tracing():
            raise RuntimeError("no graph of this")
        return net(x)

    held = Graphs(network, answer)
    assert torch.equal(asked(held, network, AFTER + 5)[1], network(torch.ones(1, 3)))


def test_one_graph_serves_any_number_of_states_each_of_which_is_tried_first(counted):
    network, answer = counted
    held = Graphs(network, answer)
    asked(held, network, AFTER + 1)
    network.calls = 0
    for rows in (2, 7, 2, 1):
        found = asked(held, network, 3, rows)
        assert torch.equal(found[2], said(network, torch.ones(rows, 3) * 2, torch.tensor(3.0), None))
    assert network.calls == 2
    (graph,) = held._made.values()
    assert graph.good == {1: True, 2: True, 7: True}


def test_a_number_of_states_that_is_written_into_the_graph_is_found_out(network):
    def answer(net, x, time, given):
        return net(x) * len(x) + time

    held = Graphs(network, answer)
    asked(held, network, AFTER + 2)
    assert torch.equal(asked(held, network, 3, 5)[2], answer(network, torch.ones(5, 3) * 2, torch.tensor(3.0), None))
    (graph,) = held._made.values()
    assert graph.good == {1: True, 5: False}


def test_only_so_many_graphs_are_kept_and_what_was_dropped_gets_one_again(counted):
    network, answer = counted
    held = Graphs(network, answer)
    kinds = [torch.zeros(1, *(1,) * more) for more in range(1, MOST + 2)]
    for given in kinds:
        asked(held, network, AFTER + 1, given=given)
    assert len(held._made) == MOST
    network.calls = 0
    asked(held, network, AFTER + 9, given=kinds[0])
    assert network.calls == AFTER + 2


def test_with_gradients_and_for_large_networks_python_is_asked(counted, monkeypatch):
    network, answer = counted
    held = Graphs(network, answer)
    x = torch.ones(1, 3, requires_grad=True)
    for _ in range(AFTER + 5):
        held.ask(network, x, torch.tensor(1.0), None)
    assert network.calls == AFTER + 5
    monkeypatch.setattr(graphs, "LARGE", 5)
    large = Graphs(network, answer)
    network.calls = 0
    asked(large, network, AFTER + 5)
    assert network.calls == AFTER + 5


@pytest.mark.parametrize(("kind", "condition"), [("guided", 1), ("prompts", "a red ring"), ("points", None)])
def test_a_sample_is_the_same_with_and_without_graphs_whoever_asks_beside(kind, condition, tmp_path, shelf):
    model = zoo.load(nets.save(tmp_path / kind, kind))
    how = {"condition": condition, "steps": 25, "count": 2}
    before = sample(model, seed=1, **how)
    for _ in range(3):
        sample(model, seed=0, **how)
    assert [True] in [[*graph.good.values()] for graph in model._graphs._made.values()]
    with ThreadPoolExecutor(3) as pool:
        later = [*pool.map(lambda seed: sample(model, seed=seed, **how), (1, 2, 1))]
    np.testing.assert_array_equal(later[0].x, before.x)
    np.testing.assert_array_equal(later[2].answers, before.answers)
    assert not np.array_equal(later[1].x, before.x)


def test_what_a_training_draws_at_a_checkpoint_makes_no_graph(tmp_path, shelf):
    model = zoo.load(nets.save(tmp_path / "guided", "guided"))
    drawn(model)
    assert model._graphs._seen.total() == 40
    assert not model._graphs._made


def test_a_classifier_says_the_same_with_and_without_a_graph():
    model = zoo.load("zoo:digits-lenet")
    pictures = data.load("digits", "test").x[:70]
    before = model.predict(pictures, batch=35)
    for _ in range(AFTER):
        model.predict(pictures[:35])
    assert model._graphs._made
    asked = []
    with model.borrow() as network:
        network.register_forward_hook(lambda *_: asked.append(1))  # a graph has none
        with torch.inference_mode():
            tried, found = (model.logits(network, model.preprocess(pictures[:20])) for _ in range(2))
    assert len(asked) == 1  # to try this number of pictures
    assert torch.equal(tried, found)
    np.testing.assert_array_equal(model.predict(pictures, batch=35), before)
