"""The Activations page without a browser: python -m pytest tests/test_activations_page.py"""

import pytest

from explorer import training
from explorer.training import TrainConfig
from tests.test_pages import always_inside_app, open_app, texts

__all__ = ["always_inside_app"]  # a fixture of every test here

VIEWS = ("Map", "Layer", "Health", "What it wants", "Embeddings", "A and B", "Surgery", "Tokens")
KINDS = (
    "zoo:shapes-resnet", "zoo:shapes-vit", "zoo:digits-lenet", "zoo:story-gpt", "zoo:story-bert", "zoo:dates-seq2seq",
    "zoo:digits-diffusion", "zoo:points-diffusion", "zoo:shapes-diffusion",
)  # fmt: skip


def activations(**query: str):
    return open_app("pages/activations.py", **query)


def fine(app) -> None:
    assert not app.exception, app.exception
    assert not app.error, texts(app)


@pytest.mark.parametrize(
    ("ref", "view"),
    [(KINDS[0], view) for view in VIEWS] + [(ref, view) for ref in KINDS[1:] for view in ("Map", "Layer", "A and B")],
)  # the others are tried on every kind where they are tested
def test_every_view_and_every_kind_of_network(ref, view):
    app = activations(model=ref, view=view)
    fine(app)
    assert app.segmented_control(key="view").value == view


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_run_at_its_first_checkpoint(view):
    run = training.fit(TrainConfig(model="mlp", dataset="points", epochs=1, batch_size=256))
    app = activations(model=run.ref, view=view, at="0")
    fine(app)
    assert "After step 0 (untrained)" in texts(app)


def test_it_opens_on_the_map_of_the_usual_network():
    app = activations()
    fine(app)
    assert app.segmented_control(key="view").value == "Map"
    assert app.selectbox(key="model").value == "zoo:shapes-resnet"


def test_the_layer_of_a_link_is_chosen_and_a_wrong_one_is_told():
    app = activations(view="Layer", layer="stage2.0.relu1")
    fine(app)
    assert app.selectbox(key="layer").value == "stage2.0.relu1"
    app = activations(view="Layer", layer="nonsense")
    fine(app)
    assert app.selectbox(key="layer").value == "stem.relu"
    assert "can't be chosen here" in texts(app)


def test_a_network_that_is_not_there_gives_way_to_another_with_a_sentence():
    app = activations(model="zoo:nothing")
    fine(app)
    (told,) = app.warning
    assert "no model of that name ships" in told.value
    assert "ResNet that names shapes" in told.value
    assert app.selectbox(key="model").value == "zoo:shapes-resnet"
    assert "model" not in app.query_params
    app.selectbox(key="model").set_value("zoo:digits-lenet").run()
    assert not app.warning


def test_a_newer_link_to_a_checkpoint_wins_over_the_slider():
    run = training.fit(TrainConfig(model="mlp", dataset="points", epochs=2, batch_size=256))
    first, last = run.checkpoints[0], run.checkpoints[-1]
    app = activations(model=f"{run.ref}@{last}")
    assert app.select_slider(key="at").value == last
    app.select_slider(key="at").set_value(first).run()
    assert app.select_slider(key="at").value == first
    app.query_params["model"] = f"{run.ref}@{run.checkpoints[1]}"
    app.run()
    assert app.select_slider(key="at").value == run.checkpoints[1]
