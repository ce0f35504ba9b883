"""The map as the browser takes it: python -m pytest tests/ui/test_modelmap.py"""

import numpy as np
import pytest
from torch import nn

from explorer import zoo
from explorer.activations.modelmap import model_map
from explorer.charts.modelmap import coloured, histogram, mosaic
from explorer.ui.modelmap import FITS, SAME, Tree, encode, family, usual
from tests.attribution.nets import Residual, picture_for, seeded, wrap
from tests.test_pages import always_inside_app, open_app, texts  # noqa: F401 - the fixture


def drawn(net: nn.Module):
    model = wrap(net, (3, 8, 8))
    return model_map(model, picture_for(model), False)


def test_nodes_and_links_name_each_other_by_place():
    found = drawn(seeded(Residual))
    told = encode(found, "blocks.0.relu#2")
    nodes = told["nodes"]
    assert [node["name"] for node in nodes] == [node.name for node in found]
    assert nodes[told["chosen"]]["name"] == "blocks.0.relu#2"
    inside = nodes[[node["name"] for node in nodes].index("blocks.0")]["inside"]
    assert [nodes[at]["title"] for at in inside] == ["conv1", "relu", "conv2", "relu#2"]
    box = next(at for at, node in enumerate(nodes) if node["name"] == "blocks.0")
    assert [-1, inside[3], ["add"]] in told["links"][box]
    opened = {nodes[at]["name"] for at in told["opened"]}
    assert {"", "blocks", "blocks.0"} <= opened


class Tall(nn.Module):
    """Many blocks of one make between two others."""

    def __init__(self, blocks: int, alone: bool) -> None:
        super().__init__()
        made = [nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()) for _ in range(blocks)]
        self.body = nn.Sequential(*made) if alone else nn.Sequential(nn.Conv2d(3, 3, 1), *made)
        self.head = nn.Linear(192, 3)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


def test_neighbours_of_one_make_are_one_box_that_the_lines_lead_through():
    found = drawn(Tall(SAME + 2, alone=False))
    tree = Tree(found)
    group = f"body.1…body.{SAME + 2}"
    assert tree.inside["body"] == ["body.0", group]
    assert len(tree.inside[group]) == SAME + 2
    links = {(link.inside, link.source, link.target) for link in tree.links()}
    assert {("body", "body.0", group), (group, None, "body.1"), (group, "body.1", "body.2")} <= links
    told = next(node for node in encode(found)["nodes"] if node["name"] == group)
    assert told["flops"] == sum(found[name].flops for name in tree.groups[group])
    assert told["flops"] > 0


def test_a_box_that_holds_nothing_else_says_how_many():
    found = drawn(Tall(SAME, alone=True))
    tree = Tree(found)
    assert tree.repeats["body"] == f"{SAME} × Sequential"
    assert not tree.groups


@pytest.mark.parametrize("ref", [card.ref for card in zoo.cards()])
def test_a_shipped_network_fits_a_screen_at_first_and_has_something_chosen(ref):
    found = model_map(zoo.load(ref), time_it=False)
    tree = Tree(found)
    assert 3 <= len(tree.seen(tree.first())) <= FITS
    assert found[usual(found)].out_shape
    assert usual(found) in {node.name for node in tree.seen(tree.first())}


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("Conv2d", "convolution"), ("Conv1D", "linear"), ("Linear", "linear"), ("BatchNorm2d", "normalisation"),
        ("LayerNorm", "normalisation"), ("ReLU", "activation"), ("GELUActivation", "activation"),
        ("Embedding", "embedding"),
        ("MultiheadAttention", "attention"), ("MaxPool2d", "pooling"), ("LSTM", "recurrent"), ("Dropout", ""),
    ],
)  # fmt: skip
def test_what_sort_of_layer_a_class_is(kind, right):
    assert family(kind) == right


def test_a_histogram_counts_every_finite_number():
    chart = histogram(np.array([0.0, 1.0, 1.0, np.nan, np.inf])).to_dict()
    (rows,) = chart["datasets"].values()
    assert sum(row["numbers"] for row in rows) == 3


def test_colours_lie_between_the_ends_of_a_palette():
    colours = coloured(np.array([[0.0, 1.0, 0.5, np.nan, 9.0]]), ("#000000", "#646464", "#C80000"), 0, 1)
    assert colours[0].tolist() == [
        [0, 0, 0, 255], [200, 0, 0, 255], [100, 100, 100, 255], [0, 0, 0, 0], [200, 0, 0, 255],
    ]  # fmt: skip


def test_pictures_lie_in_rows_with_clear_lines_between():
    sheet = mosaic(np.full((5, 2, 3, 4), 7, np.uint8), 4)
    assert sheet.shape == (2 + 1 + 2, 4 * 3 + 3, 4)
    assert (sheet[:2, :3] == 7).all()
    assert (sheet[:, 3] == 0).all()
    assert (sheet[3:, 4:] == 0).all()


@pytest.mark.parametrize(("chosen", "shown"), [("conv2", "conv2"), ("", "relu1"), ("input", "relu1")])
def test_the_figure_that_is_taken_away_is_of_the_box_that_is_chosen(chosen, shown):
    app = open_app("pages/activations.py", model="zoo:digits-lenet", **{"map-layer": chosen} if chosen else {})
    assert f"PNG and SVG show `{shown}`" in texts(app)
    assert not app.exception
