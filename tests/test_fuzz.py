"""Whatever comes in, only an ExplorerError comes out, and a page shows no exception.

python -m pytest tests/test_fuzz.py                                       a few examples, always the same ones
FUZZ=50 python -m pytest tests/test_fuzz.py --timeout 0 -p no:xdist       fifty times as many, new ones at every call
"""

import contextlib
import os
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from explorer import data, models, runs, zoo
from explorer.attribution.base import METHODS
from explorer.errors import ExplorerError
from explorer.params import params
from explorer.training import TrainConfig
from explorer.training.frames import recorded
from explorer.training.launch import check_limits
from explorer.ui import attention_views, feature_maps, heatmaps, person, playground, scrub, sketch
from explorer.ui.controls import refusal
from explorer.ui.page import PAGES
from tests import hostile
from tests.attention.test_export import made
from tests.test_pages import ROOT, always_inside_app  # noqa: F401 - a fixture

TIMES = int(os.environ.get("FUZZ", "0"))
KEYS = (  # of links, that no widget is bound to
    "model", "run", "data", "network", "example", "text", "other", "target", "versus", "layer", "head", "token",
    "methods",
    "a", "board", "census", "measured", "embed-job", "embed-frame", "wanted", "cut-greedy", "frame", "unit", "hide",
    "tour",
    "prompt", "show", "opacity", "scale", "view", "see", "at",
)  # fmt: skip


def few(count: int) -> Any:
    """So many examples, the same at every call; FUZZ times as many, and others, where that is set."""
    return settings(
        max_examples=count * max(1, TIMES), derandomize=not TIMES, deadline=None, database=None,
        phases=(Phase.explicit, Phase.generate),  # a page is too slow to look for the shortest link that breaks it
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


# ---- what there is to come in ----

letters = st.text(max_size=40)
plausible = st.sampled_from(
    ["", "0", "1", "-1", "3", "999999999", "1e3", "nan", "inf", "-inf", "1e999", "0.5", "true", "false", "None", "null",
     "9" * 400, "1" * 4400, "0x10", "1_000", "٣", "²", " 7 ", "[1]", "{}", "1,2,3", "1-3", ",", "|||", "a|b|c|d",
     "zoo:digits-lenet", "zoo:shapes-resnet", "zoo:shapes-vit", "zoo:story-gpt", "zoo:story-bert", "zoo:dates-seq2seq",
     "zoo:digits-diffusion", "zoo:points-diffusion", "zoo:points-mlp", "zoo:nonsense", f"run:{hostile.NOBODY}",
     f"run:{hostile.NOBODY}@7", f"own:{hostile.NOBODY}", hostile.NOBODY, "file:/etc", "hf:a/b", "digits", "shapes",
     "points",
     "story", "dates", "lenet", "vit", "gpt", "mlp", "adamw", "sgd", "conv1", "blocks.0", "encoder", "self", "cross",
     "unit",
     "Layer", "Health", "Map", "Surgery", "Code", "A and B", "Guidance", "Samplers", "How good?", "Flow", "Arena",
     "grad_cam,sobel", "grad_cam", "predicted", "true,false", hostile.MARKUP, hostile.TURNED, "../" * 9, "\0", "a\nb",
     "😀" * 9]
)  # fmt: skip
words = plausible | letters
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**63, 2**31])
things = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(letters, inside, max_size=3),
    max_leaves=6,
)


@st.composite
def refs(draw: Any) -> str:
    """Names of models, nearly right or not at all; none that a network would be asked for."""
    known = [card.ref for card in zoo.cards()] + [
        f"run:{hostile.NOBODY}@7",
        f"own:{hostile.NOBODY}",
        "file:/tmp/x",
        "hf:a/b@c",
    ]
    made = (
        draw(st.sampled_from(known))
        if draw(st.booleans())
        else draw(st.sampled_from(["zoo:", "run:", "file:", "own:", ""]))
    )
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(made)))
        made = (
            made[:at]
            + draw(st.sampled_from(["@", "/", ":", "..", "\0", " ", "-", "~", "é", "１"]) | letters)
            + made[at:]
        )
    return made


@st.composite
def damaged(draw: Any, *whole: bytes) -> bytes:
    """A file that was right, with a few bytes changed, left out, put in or cut off."""
    made = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, min(len(made), draw(st.sampled_from([40, 400, 10**6]))) - 1)))
        match draw(st.sampled_from("cpadz")):
            case "c":
                made[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "p":
                made[at:at] = draw(st.binary(max_size=8))
            case "a":
                made[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"]))
            case "d":
                del made[at : at + draw(st.integers(1, 50))]
            case "z":
                del made[at:]
    return bytes(made)


PICTURES = tuple(hostile.saved(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"))
TABLE = "".join(f"{n},{n % 7},{'AB'[n % 2]}\n" for n in range(40)).encode()


@contextlib.contextmanager
def refused() -> Any:
    """An ExplorerError is an answer; anything else is a fault."""
    sentence = ""
    try:
        yield
    except ExplorerError as error:
        sentence = str(error)
    note(sentence)
    assert len(sentence) < 4000


# ---- what it comes into ----


@few(150)
@given(refs() | words)
def test_refs(ref):
    with hostile.server(shared=ref.startswith("hf:")), refused():
        zoo.price(ref)


@few(100)
@given(
    st.dictionaries(
        st.sampled_from([*params(TrainConfig), "dataset", "model", "model_settings", "x"]), things, max_size=4
    )
)
def test_configs(values):
    with refused():
        config = TrainConfig.from_dict(values)
        config.complete()
        check_limits(config)


@few(60)
@given(things)
def test_configs_of_any_kind(values):
    with refused():
        TrainConfig.from_dict(values)


@few(150)
@given(
    st.sampled_from([entry for registry in (models.MODELS, data.DATASETS, METHODS) for entry in registry.entries()]),
    st.data(),
)
def test_settings_in_a_link_and_in_python(entry, draws):
    known = params(entry.make)
    values = draws.draw(st.dictionaries(st.sampled_from([*known, "x"]), things, max_size=3))
    for param in known.values():
        assert isinstance(refusal(param, draws.draw(words)), str | None)
    with refused():
        from explorer.params import check

        check(entry.make, values, "These settings")


@few(80)
@given(damaged(*PICTURES) | st.binary(max_size=300))
def test_pictures(content):
    with refused():
        hostile._picture(content)


@few(60)
@given(
    damaged(hostile.zipped(hostile.classes(PICTURES[0])), hostile.zipped(hostile.classes(PICTURES[1], 2), 8))
    | st.binary(max_size=300)
)
def test_zips(content):
    with hostile.server(shared=True), refused():
        hostile._images(content)


@few(80)
@given(damaged(TABLE, TABLE.replace(b",", b";"), TABLE.decode().encode("utf-8-sig")) | st.binary(max_size=300))
def test_tables(content):
    with hostile.server(shared=True), refused():
        hostile._points(content)


@few(20)
@given(st.text(max_size=300), st.integers(1, 200))
def test_texts(text, times):
    with hostile.server(shared=True), refused():
        hostile._text(text * times)


@few(40)
@given(
    st.dictionaries(
        st.sampled_from(["config.json", "card.json", "history.jsonl", "outcome.json", "notes.json"]),
        things,
        min_size=1,
        max_size=2,
    )
)
def test_runs_that_hold_anything(files):
    def written(value: Any) -> bytes:
        import json

        with contextlib.suppress(ValueError):
            return json.dumps(value).encode("utf-8", "replace")
        return b"{}"

    made = {name: written(value) for name, value in files.items()}
    for opened in (False, True):
        with hostile.server(shared=True), refused():
            hostile._run(made, opened)


@few(30)
@given(
    damaged(hostile._tensors({"00000001": 12, "00000002": 4})),
    st.sampled_from(["predictions", "samples", "frames", "checkpoints/00000000"]),
)
def test_runs_with_damaged_arrays(content, name):
    for opened in (False, True):
        with hostile.server(shared=True), refused():
            hostile._run({f"{name}.safetensors": content}, opened)
            if name == "frames":
                recorded(runs.folder(hostile.NOBODY))


READERS = {  # what of a component's report is read → by what, and what that must give
    ("bits",): lambda said: sketch.read_mask(said, 8, 8).shape == (8, 8),
    ("codes", "labels"): lambda said: sketch.read_points(said, 50, 1.0)[0].shape[1] == 2,
    ("points", "classes"): lambda said: playground.read_drawn(said, 2, 1.0)[0].shape[1] == 2,
    ("show", "opacity", "scale", "outline"): lambda said: heatmaps._read(said, heatmaps.View()).show in heatmaps.SHOWS,
    ("at", "of"): lambda said: 0 <= scrub.settle(said, 9, 3) < 9,
    ("unit", "row", "column"): lambda said: feature_maps.read(said, UNITS) is None or 0 <= said["unit"] < 4,
    ("seed", "view", "part", "layer", "heads", "token", "key"): lambda said: attention_views._read(
        said, {"id": "", "selection": attention_views.Selection(part="self")}, PATTERNS
    ).part == "self",
}  # fmt: skip
UNITS = SimpleNamespace(values=np.zeros((4, 3, 2)))
PATTERNS = made(("a", "b", "c"))


@few(40)
@given(st.data())
def test_what_a_browser_says(draws):
    for names, sound in READERS.items():
        whole = st.fixed_dictionaries(dict.fromkeys(names, things) | ({"seed": st.just("")} if "seed" in names else {}))
        assert sound(draws.draw(whole | things))
    assert isinstance(person.token(draws.draw(words)), bytes | None)


# ---- pages ----


@cache
def keys(path: str) -> tuple[str, ...]:
    """What a link to a page can hold: the keys of its widgets, and those that pages read themselves."""
    app = opened(path, {})
    own = [key for key in app.session_state._state.filtered_state if isinstance(key, str) and not key.startswith("$$")]
    return tuple(dict.fromkeys([*own, *KEYS]))


def opened(path: str, query: dict[str, str]) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120 * max(1, TIMES))
    for name, value in query.items():
        app.query_params[name] = value
    return app.switch_page(path).run()


@pytest.mark.parametrize("path", [page.path for page in PAGES])
@few(1)
@given(st.data())
def test_links(path, draws):
    links = st.dictionaries(st.sampled_from(keys(path)), words, min_size=4, max_size=12)
    query = draws.draw(links.filter(lambda query: len(set(query.values())) > 3))  # the simplest says "" everywhere
    app = opened(path, query)
    assert not app.exception, query
    assert app.title or path == "pages/home.py"
