"""The Training page without a browser: python -m pytest tests/test_training_page.py"""

import time

import pytest

from explorer import jobs, runs, training
from explorer.training import TrainConfig
from explorer.training.range_test import STUDY
from tests.test_pages import always_inside_app, open_app, texts  # noqa: F401 - a fixture

TINY = TrainConfig(model="mlp", model_settings={"width": 8, "depth": 1}, epochs=2, batch_size=256)


def lab(**query: str):
    return open_app("pages/training.py", **query)


def button(app, key: str):
    return next((one for one in app.button if one.key == key), None)


def wait(id: str) -> None:
    limit = time.monotonic() + 90
    while not jobs.engine().status(id).over:
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.parametrize("view", ["The run", "Before it runs", "Is it real?", "Code", "Playground"])
def test_every_view_shows_something_at_once(view):
    app = lab(view=view)
    assert not app.exception
    assert not app.error
    assert not app.warning
    shown = {
        "The run": "Test split:", "Before it runs": "What this recipe will do", "Is it real?": "Is the trick real?",
        "Code": "This very recipe, in plain PyTorch", "Playground": "A recorded run to play with",
    }[view]  # fmt: skip
    assert shown in texts(app) + " ".join(one.value for one in (*app.subheader, *app.caption))


@pytest.mark.parametrize("live", [True, False])
def test_a_run_that_goes_on_is_drawn_before_the_levers(live, monkeypatch):
    from explorer.ui import recipe
    from explorer.ui.training import run

    drawn, levers = [], recipe.recipe
    monkeypatch.setattr(run, "is_live", lambda ref: live)
    monkeypatch.setattr(run, "show_live", drawn.append)
    monkeypatch.setattr(run, "show", drawn.append)
    monkeypatch.setattr(recipe, "recipe", lambda names: drawn.append("levers") or levers(names))
    app = lab(run="zoo:digits-lenet")
    assert not app.exception
    assert drawn == (["zoo:digits-lenet", "levers"] if live else ["levers", "zoo:digits-lenet"])


@pytest.mark.parametrize("data", ["digits", "shapes", "points", "story", "dates"])
def test_only_what_can_act_is_offered(data):
    app = lab(data=data)
    keys = {one.key for kind in ("slider", "toggle", "selectbox", "select_slider") for one in app.get(kind)}
    assert {"epochs", "lr", "seed"} <= keys | {one.key for one in app.number_input}
    assert ("mixup" in keys) == (data in ("digits", "shapes"))
    assert ("balanced" in keys) == (data in ("digits", "shapes", "points"))
    assert "amp" not in keys
    assert "momentum" not in keys  # AdamW keeps its own
    assert not app.exception


def test_a_lever_that_needs_another_appears_with_it_and_its_link_brings_both():
    app = lab(optimizer="sgd", nesterov="true", schedule="step", cycles="5")
    assert app.slider(key="momentum").value == 0.9
    assert app.toggle(key="nesterov").value
    assert app.slider(key="cycles").value == 5
    app.selectbox(key="schedule").set_value("cosine").run()
    assert "cycles" not in {one.key for one in app.slider}
    assert not app.exception


def test_a_known_recipe_sets_all_levers_at_once_and_back():
    app = lab(epochs="7")
    button(app, "levers-modern").click().run()
    assert app.selectbox(key="schedule").value == "one-cycle"
    assert app.slider(key="mixup").value > 0
    assert app.slider(key="epochs").value == 7
    button(app, "levers-usual").click().run()
    assert app.selectbox(key="schedule").value == "cosine"
    assert app.slider(key="mixup").value == 0
    assert not app.exception


def test_the_recipe_of_a_run_can_be_taken_over():
    config = TrainConfig("points", "mlp", model_settings={"width": 12}, dataset_settings={"kind": "moons"}, epochs=3,
                         optimizer="sgd", momentum=0.5, lr=0.05)  # fmt: skip
    run = training.fit(config)
    app = lab(run=run.ref)
    assert "another one than this run's" in texts(app)
    button(app, "adopt").click().run()
    assert app.session_state["recipe"].complete() == config.complete()
    assert "another one than this run's" not in texts(app)
    assert button(lab(), "adopt") is None  # the shipped run is what the levers say at first
    assert not app.exception


def test_a_link_with_a_bad_lever_is_told_and_the_page_stands():
    app = lab(mixup="9", schedule="sawtooth", view="Before it runs")
    assert "Mixup" in texts(app) or "MixUp in the link" in texts(app)
    assert "sawtooth" in texts(app).replace("\\", "")
    assert not app.exception


def test_the_levers_change_what_is_foreseen():
    app = lab(view="Before it runs")
    steps = next(one.value for one in app.metric if one.label == "Steps")
    assert steps == "570"
    app = lab(view="Before it runs", accumulate="4", mixup="1.0", label_smoothing="0.1")
    assert next(one.value for one in app.metric if one.label == "Steps") == "120"
    assert "Label smoothing then asks for 91.0%" in texts(app) + " ".join(one.value for one in app.caption)
    app = lab(view="Before it runs", accumulate="16", batch_size="512")
    assert "a step would see 8,192 examples" in texts(app).replace("\\", "")
    assert not app.exception


def test_a_range_test_is_found_by_its_link_and_its_rate_can_be_used():
    id = STUDY.start(TrainConfig().to_dict(), "local")
    wait(id)
    app = lab(view="Before it runs", range=id)
    assert not app.exception
    use = button(app, "use-rate")
    assert use is not None
    use.click().run()
    assert f"Use {app.select_slider(key='lr').value:g}" == use.label
    assert "there is none of that name" in texts(lab(view="Before it runs", range="0" * 32)).replace("\\", "")


def test_a_paused_run_takes_one_step_an_epoch_and_goes_on_to_its_end():
    id = training.start(TrainConfig.from_dict(TINY.to_dict() | {"epochs": 4}), most=3)
    wait(id)
    app = lab(run=f"run:{id}")
    assert "paused" in texts(app)
    button(app, "one-step").click().run()
    wait(id)  # the page itself waits only so long
    app.run()
    assert runs.history(runs.folder(id))[-1]["step"] == 4
    assert not app.exception
    button(app, "one-epoch").click().run()
    wait(id)
    app.run()
    assert [line["step"] for line in runs.history(runs.folder(id))] == list(range(4 + 4 + 1))
    button(app, "continue").click().run()
    wait(id)
    app = lab(run=f"run:{id}")
    assert "finished" in texts(app)
    assert button(app, "continue") is None
    assert not app.exception


def test_a_diverged_run_offers_a_lower_rate():
    config = TrainConfig.from_dict(
        TINY.to_dict() | {"optimizer": "sgd", "lr": 10.0, "clip_norm": 0.0, "weight_decay": 1.0, "epochs": 9}
    )
    run = training.fit(config)
    assert run.state == "diverged"
    app = lab(run=run.ref)
    assert "Lower the learning rate" in texts(app)
    button(app, "lower").click().run()
    started = app.session_state["run"].removeprefix("run:")
    wait(started)
    assert training.read(runs.folder(started), "run:x").config.lr == 1.0


def test_a_run_without_memory_offers_half_the_batch(monkeypatch):
    import torch

    from explorer.training import loop

    inner = loop._gradient

    def narrow(learner, *rest):
        if learner.step >= 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(learner, *rest)

    monkeypatch.setattr(loop, "_gradient", narrow)
    run = training.fit(TINY)
    app = lab(run=run.ref)
    assert "out of memory" in texts(app)
    button(app, "halve").click().run()
    wait(run.ref.removeprefix("run:"))
    ended = training.read(run.folder, run.ref)
    assert ended.state == "finished"
    assert (ended.config.batch_size, ended.config.accumulate) == (128, 2)
    assert "2 batches of 128" in ended.notes[0]


def test_the_playground_trains_one_step_at_a_time_goes_on_and_starts_over():
    app = lab(view="Playground", play_epochs="2", pace="Full speed")
    button(app, "play-step").click().run()
    ref = app.session_state["play"]
    id = ref.removeprefix("run:")
    wait(id)  # its worker may have had to start
    app.run()
    assert runs.history(runs.folder(id))[-1]["step"] == 1
    assert button(app, "play-go").label == "Continue"
    button(app, "play-epoch").click().run()
    wait(id)
    app.run()
    assert app.session_state["play"] == ref
    button(app, "play-go").click().run()
    wait(id)
    app.run()
    assert training.read(runs.folder(id), ref).state == "finished"
    assert button(app, "play-go").label == "Train"
    app.slider(key="play_mlp_width").set_value(4).run()
    assert "have changed" in " ".join(one.value for one in app.caption)
    button(app, "play-over").click().run()
    assert app.session_state["play"] == "zoo:points-mlp"
    assert not app.exception


@pytest.mark.parametrize("play", ["run:zzz", "zoo:nonsense", "zoo:digits-lenet", "run:" + "0" * 32])
def test_a_playground_link_to_what_there_is_not_is_told_and_can_be_played_with(play):
    app = lab(view="Playground", play=play)
    assert button(app, "play-go") is not None or button(app, "play-over") is not None
    assert not app.exception


def test_a_drawing_of_too_few_points_is_refused_with_a_sentence():
    app = lab(view="Playground", play_points="Draw my own")
    button(app, "play-go").click().run()
    assert "Put down 12 points at least" in texts(app)
    assert not app.exception


def test_a_stranger_with_the_link_looks_on_and_changes_nothing(monkeypatch):
    from explorer.settings import settings

    monkeypatch.setenv("EXPLORER_SHARED", "1")
    settings.cache_clear()
    config = TrainConfig("points", "mlp", model_settings={"width": 4, "depth": 1}, epochs=30)
    id = training.start(config, "alice", most=2)
    wait(id)
    app = lab(view="Playground", play=f"run:{id}")
    assert button(app, "play-go").label == "Train"  # not hers to continue
    assert not [one for one in app.get("button_group") if one.key == "pace"]
    app = lab(run=f"run:{id}")
    assert "paused" in texts(app)
    assert button(app, "continue") is None
    training.resume(id, "alice", pace=2.0)
    app = lab(view="Playground", play=f"run:{id}")
    assert button(app, "play-pause").disabled
    jobs.engine().cancel(id)
    assert not app.exception
