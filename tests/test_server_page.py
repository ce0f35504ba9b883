"""The page about this server, and that people are strangers on it: python -m pytest tests/test_server_page.py"""

import io
import subprocess
import sys

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from explorer import belongings, data, housekeeping, jobs, runs
from explorer.errors import ExplorerError
from explorer.jobs import JobStatus
from explorer.runs import files
from explorer.server import check, door, warm
from explorer.settings import settings
from explorer.training import TrainConfig
from explorer.ui import presence
from tests.test_pages import ROOT, always_inside_app, texts  # noqa: F401

TOKEN = "correct horse"
ANNA, BEN = "a" * 32, "b" * 32
CSV = "".join(f"{x},{y},{'ab'[x % 2]}\n" for x in range(6) for y in range(6)).encode()


class Engine:
    """Jobs that go on for as long as the test wants."""

    def __init__(self):
        self.jobs, self.cancelled = {}, []

    def add(self, id, owner, state="running", **facts):
        task = "explorer.training.task:train"
        self.jobs[id] = JobStatus(id, owner, state, task=task, queued=1e9, **{"started": 1e9, **facts})

    def status(self, id):
        if id not in self.jobs:
            raise ExplorerError("The job", "there is none", "Start it")
        return self.jobs[id]

    def cancel(self, id):
        self.cancelled.append(id)
        del self.jobs[id]

    def events(self, id, since=0):
        return []

    def listing(self):
        return list(self.jobs.values())

    def counts(self):
        return len(self.jobs), 0

    def warm_up(self):
        pass


@pytest.fixture
def engine(monkeypatch):
    engine = Engine()
    monkeypatch.setattr(jobs, "engine", lambda: engine)
    return engine


@pytest.fixture(autouse=True)
def server(monkeypatch):
    """A shared server with a teacher, where nobody has tried the door."""
    monkeypatch.setenv("EXPLORER_SHARED", "1")
    monkeypatch.setenv("EXPLORER_TEACHER", TOKEN)
    settings.cache_clear()
    monkeypatch.setattr(presence, "_here", {})
    monkeypatch.setattr(warm, "_states", {})
    door._wrong.clear()
    st.cache_data.clear()


def visit(person, path="pages/server.py", **query):
    """The page as one person sees it."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.session_state["person"] = person
    app.run()
    for name, value in query.items():
        app.query_params[name] = value
    return app.switch_page(path).run()


def enter(app, token=TOKEN):
    app.text_input(key="teacher-token").set_value(token)
    return app.button(key="teacher-enter").click().run()


def keys(app):
    return {button.key for button in app.button}


def a_run(owner, goes=False):
    id = runs.create("a run", {}, owner)
    files.write_json(runs.folder(id) / "config.json", TrainConfig(epochs=1, model="mlp").to_dict())
    if not goes:
        runs.finish(id, "stopped", {})
        files.write_json(runs.folder(id) / "outcome.json", {"state": "stopped", "metrics": {}, "error": ""})
    return id


# ---- for everybody ----


def test_the_check_says_what_is_wrong_and_asks_no_network_without_a_click(monkeypatch):
    asked = []
    monkeypatch.setattr(check, "hub", lambda: asked.append(1) or check.Check("Hub", check.GOOD, "it answers"))
    monkeypatch.setattr(check, "disk", lambda: check.Check("Disk", check.LOOK, "0.5 GB free", "Free some space"))
    app = visit(ANNA)
    assert not app.exception
    assert not app.error
    assert any("0.5 GB free" in box.value.replace("\\", "") for box in app.info)
    assert {"torch", "Shipped models", "Data folder"} <= set(app.table[0].value.index)
    assert list(app.table[1].value.index)[:2] == ["parameters", "image_side"]
    assert asked == []
    app.button(key="try-hub").click().run()
    assert asked == [1]
    assert "Hub" in set(app.table[0].value.index)
    assert not app.exception


def test_it_loads_no_heavy_library():
    script = (
        "import sys, explorer.ui.server.check, explorer.ui.server.mine, explorer.ui.server.teacher, explorer.ui.page;"
        "from explorer import housekeeping; from explorer.server import check, load, mine;"
        "housekeeping.sweep(); check.checks(); mine.kept('anna'); load.people();"
        "print(*{'torch', 'mlflow', 'transformers', 'sklearn', 'diffusers'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.split() == []


def test_a_person_deletes_what_is_theirs_and_sees_nothing_else(engine):
    mine = a_run(ANNA)
    upload = data.own.add_points(io.BytesIO(CSV), "my points", owner=ANNA).removeprefix("own:")
    theirs = a_run(BEN)
    app = visit(ANNA)
    assert sorted(app.dataframe[0].value["what"]) == ["run", "upload"]
    assert set(app.multiselect(key="to-delete").options) == {
        f"{one['what']} {one['of']} · {one['size']} · {one['last used']}"
        for one in app.dataframe[0].value.to_dict("records")
    }
    assert "1 of 60 runs" in app.get("progress")[0].proto.text or "1 of 200 runs" in app.get("progress")[0].proto.text
    assert app.button(key="delete").disabled
    app.multiselect(key="to-delete").set_value([mine, upload]).run()
    app.button(key="delete").click().run()
    assert not app.exception
    assert not app.error
    assert "Nothing yet" in texts(app)
    assert [thing.id for thing in belongings.things()] == [theirs]


def test_what_goes_on_is_not_deleted(engine):
    mine = a_run(ANNA, goes=True)
    engine.add(mine, ANNA)
    app = visit(ANNA)
    app.multiselect(key="to-delete").set_value([mine]).run()
    app.button(key="delete").click().run()
    assert "it is going on" in app.error[0].value
    assert runs.get(mine).owner == ANNA


# ---- strangers ----


def test_a_stranger_finds_no_run_of_anothers_and_can_not_stop_one(engine):
    id = a_run(ANNA, goes=True)
    engine.add(id, ANNA)
    hers = visit(ANNA, "pages/training.py", run=f"run:{id}")
    assert "stop" in keys(hers)
    assert id in str([link.proto for link in hers.get("page_link")])
    his = visit(BEN, "pages/training.py", run=f"run:{id}")
    assert "mlp on digits" in " ".join(line.value for line in his.subheader)  # whoever has the link may look
    assert "stop" not in keys(his)
    his = visit(BEN, "pages/training.py")
    assert id not in str([link.proto for link in his.get("page_link")])
    assert engine.cancelled == []


def test_a_network_of_anothers_is_not_offered():
    def page():
        from explorer.ui.pickers import model_picker

        model_picker()

    runs_of = {owner: a_run(owner) for owner in (ANNA, BEN)}
    card = (check.SHIPPED / "digits-lenet" / "card.json").read_bytes()
    for id in runs_of.values():
        files.write(runs.folder(id) / "card.json", card)
        files.write(files.checkpoint(runs.folder(id), 1), b"weights")
    for owner, other in ((ANNA, BEN), (BEN, ANNA)):
        app = AppTest.from_function(page, default_timeout=60)
        app.session_state["person"] = owner
        offered = str(app.run().selectbox(key="model").options)
        assert offered.count("a run ·") == 1
        assert runs_of[other] not in offered


def test_a_stranger_may_look_at_a_paused_run_but_not_go_on_with_it(engine, monkeypatch):
    from explorer import training

    id = a_run(ANNA)
    with pytest.raises(ExplorerError, match="somebody else's"):
        training.resume(id, BEN)
    app = visit(BEN, "pages/training.py", run=f"run:{id}")
    assert not {"continue", "one-step", "lower"} & keys(app)
    assert not app.exception


def test_a_study_of_anothers_is_found_by_its_link_only_and_not_stopped(engine):
    def page():
        from explorer.ui.watch import watch

        watch("f" * 32, "it")

    engine.add("f" * 32, ANNA)
    found = []
    for person in (ANNA, BEN):
        app = AppTest.from_function(page, default_timeout=60)
        app.session_state["person"] = person
        found.append("stop-it" in keys(app.run()))
    assert found == [True, False]


def test_who_presses_a_greyed_button_by_force_pauses_nothing_of_anothers(engine):
    def page():
        from explorer.ui.training.run import pause

        pause("f" * 32)

    engine.add("f" * 32, ANNA)
    for person, cancelled in ((BEN, []), (ANNA, ["f" * 32])):
        app = AppTest.from_function(page, default_timeout=60)
        app.session_state["person"] = person
        assert not app.run().exception
        assert engine.cancelled == cancelled


def test_an_upload_of_anothers_is_not_offered():
    name = data.own.add_points(io.BytesIO(CSV), "her points", owner=ANNA)
    offered = str(visit(BEN, "pages/training.py").selectbox(key="data").options)
    assert name not in offered
    assert "her points" not in offered


def test_a_quota_is_told_where_a_run_would_start(monkeypatch, engine):
    monkeypatch.setenv("EXPLORER_RUNS", "1")
    settings.cache_clear()
    a_run(ANNA)
    app = visit(ANNA, "pages/training.py")
    app.button(key="start").click().run()
    assert "one person may keep 1 here" in texts(app).replace("\\", "")
    assert "This server" in texts(app)
    assert not app.exception


# ---- the teacher ----


def test_without_a_token_the_page_says_how_to_have_one(monkeypatch):
    monkeypatch.delenv("EXPLORER_TEACHER")
    settings.cache_clear()
    app = visit(ANNA)
    assert "EXPLORER_TEACHER" in texts(app)
    assert not [one for one in app.text_input if one.key == "teacher-token"]


def test_a_wrong_token_opens_nothing_and_five_end_the_session():
    app = visit(ANNA)
    for _ in range(5):
        enter(app, "a guess")
        assert "not its token" in app.error[0].value
    enter(app)
    assert "5 tries were wrong" in app.error[0].value
    assert "teacher-leave" not in keys(app)
    assert "teacher-leave" in keys(enter(visit(ANNA)))  # another session has its own


def test_no_link_opens_it():
    app = visit(ANNA, **{"teacher-in": "True", "teacher-token": TOKEN, "token": TOKEN})
    assert "teacher-leave" not in keys(app)


def test_the_teacher_sees_who_is_here_and_stops_any_job(engine):
    engine.add("1" * 32, ANNA, eta=30.0)
    engine.add("2" * 32, BEN, "waiting", position=1, eta=40.0)
    a_run(BEN)
    visit(BEN)
    app = enter(visit(ANNA))
    assert not app.exception
    told = texts(app).replace("\\", "")
    assert f"{ANNA[:6]}** · training · task · running for" in told
    assert "30 s left" in told
    assert f"1. **{BEN[:6]}**" in told
    assert "40 s until its turn" in told
    assert "2 pages open by 2 people" in told
    assert ANNA not in told + str(app.dataframe[0].value)
    who = app.dataframe[-1].value.set_index("who")
    assert who.loc[BEN[:6], "runs"] == 1
    assert who.loc[ANNA[:6], "pages"] == 1
    assert {metric.label for metric in app.metric} == {"Server", "Workers", "Models held"}
    app.button(key="stop-" + "2" * 32).click().run()
    assert engine.cancelled == ["2" * 32]
    app.button(key="teacher-leave").click().run()
    assert "teacher-leave" not in keys(app)
    assert not app.exception


def test_the_teacher_opens_models_and_sweeps(engine, monkeypatch):
    asked, swept = [], []
    monkeypatch.setattr(warm, "warm", asked.extend)
    monkeypatch.setattr(warm, "states", lambda: {"zoo:shapes-vit": warm.OPENING, "zoo:no": "It can't be had."})
    monkeypatch.setattr(housekeeping, "sweep", lambda: swept.append(1) or housekeeping.Swept((), 2, 2**20))
    app = enter(visit(ANNA))
    app.multiselect(key="to-warm").set_value(["zoo:shapes-vit"]).run()
    app.button(key="warm").click().run()
    assert asked == ["zoo:shapes-vit"]
    told = texts(app).replace("\\", "")
    assert "zoo:shapes-vit: opening" in told
    assert "It can't be had." in told
    app.button(key="sweep").click().run()
    assert swept == [1]
    assert "0 things and 2 leftovers: 1.0 MB" in texts(app).replace("\\", "")
    assert not app.exception


def test_a_session_that_falls_silent_is_not_here_any_more(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(presence.time, "monotonic", lambda: now[0])
    visit(ANNA, "pages/home.py")
    visit(ANNA, "pages/home.py")
    now[0] += presence.GONE - 1
    visit(BEN, "pages/home.py")
    assert presence.sessions() == {ANNA: 2, BEN: 1}
    assert belongings.seen(BEN) > 0
    now[0] += 2
    assert presence.sessions() == {BEN: 1}
