"""A person's words are only words, on pages and in what is taken away: python -m pytest tests/test_escaping.py"""

import ast
import io
import re
import xml.etree.ElementTree as xml
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from explorer import attention, attribution, data, training, zoo
from explorer.activations import export as activations_export
from explorer.activations import script as activations_script
from explorer.activations.base import Layer
from explorer.attention import export as attention_export
from explorer.attribution import export as attribution_export
from explorer.attribution.report import report
from explorer.charts import figure
from explorer.training import TrainConfig
from tests.test_pages import always_inside_app, open_app  # noqa: F401 - a fixture

LINK = "](http:"  # of Markdown: nobody's words may have it unescaped
LABEL = f"![p{LINK}//evil.test/p.png)<b>"
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x01\ufffe\x1b"
PLAIN = {  # elements that show letters as they are → all of them, or these fields
    "code": None, "arrow_data_frame": None, "vega_lite_chart": None, "bidi_component": None, "text": None, "html": None,
    "text_area": ("value", "default"), "text_input": ("value", "default"),
    "selectbox": ("options", "value", "raw_value"),
    "multiselect": ("options",), "select_slider": ("options",), "slider": ("options",), "imgs": ("alt", "url"),
}  # fmt: skip


class Tags(HTMLParser):
    """The tags of a page, and the addresses in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.addresses = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert not [name for name, _ in attributes if name.startswith("on")]
        self.addresses |= {value for name, value in attributes if name in ("src", "href")}


def vector(text: str) -> str:
    """All letters of an SVG, which is whole, runs nothing and fetches nothing."""
    tree = xml.fromstring(text)
    for node in tree.iter():
        name = node.tag.rpartition("}")[2]
        assert name in ("svg", "title", "rect", "text", "path", "g", "image", "line", "circle", "polyline", "tspan"), (
            name
        )
        assert not [key for key in node.attrib if key.startswith("on")]
        assert all(value.startswith("data:image/png") for key, value in node.attrib.items() if key.endswith("href"))
    return "".join(tree.itertext())


@pytest.fixture(scope="module")
def explained():
    model = zoo.load("zoo:shapes-resnet")
    with attribution.open_case(model, data.load("shapes", "test").x[0]) as case:
        return replace(attribution.explain(case, "grad_cam"), ref=f"file:/{MARKUP}")


def test_a_report_holds_no_markup_of_others(explained):
    labels = [MARKUP] * 10
    page = report(MARKUP, [explained], labels, [{"method": MARKUP, MARKUP: 1.0}], f"http://x/?a={MARKUP}", MARKUP)
    found = Tags(page)
    assert not {"script", "iframe", "link", "object", "base", "form"} & found.tags
    assert all(one.startswith(("data:image/png", "http://x/")) for one in found.addresses)
    assert page.count("alert(1)") == page.count("alert(1)&lt;/script&gt;") + page.count("onerror=alert(1)&gt;")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", page)


def test_figures_hold_no_markup_of_others(explained):
    for made in (attribution_export.svg(explained), attribution_export.grid_svg([explained] * 5, shared=True)):
        assert "alert(1)" in vector(made)
    layer = Layer("conv", MARKUP, np.ones((1, 2, 3, 3), np.float32))
    assert "alert(1)" in vector(activations_export.svg(layer, MARKUP))
    found = attention.attend("zoo:story-gpt", data.load("story", "test").texts[0])
    part = found.parts[0]
    names = tuple(f"{MARKUP}{place}" for place in range(len(part.queries)))
    hostile = replace(found, ref=MARKUP, parts=(replace(part, queries=names, keys=names),))
    drawn = [attention_export.matrix(hostile, part.name, 0, [0]), attention_export.links(hostile, part.name, 0, [0, 1])]
    drawn.append(attention_export.grid(hostile, part.name, [[f"{MARKUP} 0.9"] * part.heads] * part.layers))
    for one in drawn:
        assert "<" in vector(figure.svg(one))
        assert figure.png(one).startswith(b"\x89PNG")


def shape_of(source: str) -> str:
    """A script without its constants: two of one shape do the same with other words."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value, node.kind = type(node.value).__name__, None
    return ast.dump(tree)


@pytest.mark.parametrize(
    "words", ["'''", '"""', "\\", '"); import os; os.system("x") #', "a\nimport os\n", "{x}", MARKUP]
)
def test_a_script_holds_words_as_words(words):
    from explorer.attention.script import script

    model = zoo.load("zoo:story-gpt")
    made = [script(model, text) for text in (f"the cat {words}", "the cat sees it")]
    assert shape_of(made[0]) == shape_of(made[1])
    assert f"the cat {words}" in [getattr(node, "value", None) for node in ast.walk(ast.parse(made[0]))]
    one, other = (SimpleNamespace(ref=ref) for ref in (f"file:/x/{words}", "file:/x/y"))
    lines = [activations_script.told(f"What the layers of {card.ref} give out") for card in (one, other)]
    assert [len(ast.parse(line).body) for line in lines] == [1, 1]
    assert shape_of(lines[0]) == shape_of(lines[1])


@pytest.mark.parametrize("words", ['"); import os; os.system("x") #', 'a"""b', "a'b\\"])
def test_a_script_of_samples_holds_its_prompt_as_words(words):
    from explorer import diffusion
    from explorer.diffusion.script import script

    made = []
    for prompt in (f"a red ring {words}", "a red ring left of a blue star"):
        found = diffusion.sample("zoo:shapes-diffusion", "ddim", 2, 4.0, prompt)
        made.append(script(found))
    assert shape_of(made[0]) == shape_of(made[1])


def test_html_of_our_own_holds_no_markup_of_others():
    from explorer.ui import lesson, tour
    from explorer.ui.activations import tokens, wants

    ids = SimpleNamespace(tolist=lambda: [1])
    given = SimpleNamespace(take=lambda rows: SimpleNamespace(inputs={"input_ids": [ids]}))
    model = SimpleNamespace(decode=lambda ids: MARKUP)
    found = SimpleNamespace(
        highest=np.ones((2, 1)), position=None, example=np.zeros(2, int), labels=(MARKUP,), classes=np.zeros(2, int)
    )
    whole = wants._sentence(model, given, found, 0, 0, 1.0)
    found.position = np.arange(2)
    pieces = [whole, wants._sentence(model, given, found, 0, 1, 1.0), tokens._coloured([MARKUP], [0.5], 1.0)]
    for piece in pieces:
        assert Tags(piece).tags == {"div", "span"}
        assert "alert(1)&lt;/script&gt;" in piece
    asked = f"epochs,{MARKUP},x{{}}*,a:b,</style><script>,lr"
    assert lesson._names(asked) == ["epochs", "lr"]
    assert not set(tour.class_of(MARKUP)) & set("<>{}\"'&;:/ ")


# ---- on the pages ----


def test_the_names_of_data_sets_and_classes_lose_what_cannot_be_seen():
    rows = "".join(f'{n},{n % 5},"{"AB"[n % 2]}\u202e\u200b\x07\n {LABEL}"\n' for n in range(40))
    name = data.own.add_points(io.BytesIO(rows.encode()), "my\u202e\n\x1bpoints")
    assert data.about(name).title == "my points"
    assert data.load(name).labels == (f"A {LABEL}", f"B {LABEL}")


def unescaped(app) -> list[str]:
    """Words of others that a page would show as Markdown."""
    found = []

    def look(value, where):
        if isinstance(value, dict):
            for name, part in value.items():
                look(part, f"{where}.{name}")
        elif isinstance(value, list):
            for part in value:
                look(part, where)
        elif isinstance(value, str) and LINK in value.replace("\\\\", "") and "evil" in value:
            found.append(f"{where}: {value[:200]}")

    for node in app._tree:
        kind = getattr(node, "type", "")
        proto = getattr(node, "proto", None)
        if PLAIN.get(kind, ()) is None or not hasattr(proto, "DESCRIPTOR"):
            continue
        told = MessageToDict(proto, preserving_proto_field_name=True)
        told = {name: part for name, part in told.items() if name not in (PLAIN.get(kind) or ()) and name != "id"}
        look(told, kind)
    assert not [node for node in app._tree if getattr(getattr(node, "proto", None), "allow_html", False)]
    return found


def test_what_is_looked_for_would_be_found():
    from streamlit.testing.v1 import AppTest

    def page(label):
        import streamlit as st

        from explorer.ui.page import plain

        if label:
            st.markdown(label)
            st.button(label, key="b")
            st.metric(label, 1)
            st.segmented_control("a", [label])
        st.caption(plain("![p](http://evil.test/p.png)"))
        st.selectbox("a", ["![p](http://evil.test/p.png)"])

    assert unescaped(AppTest.from_function(page, default_timeout=60, args=("",)).run()) == []
    assert len(unescaped(AppTest.from_function(page, default_timeout=60, args=(LABEL,)).run())) == 4


@pytest.fixture
def marked() -> str:
    """A run on points whose classes and title are Markdown."""
    rng = np.random.default_rng(0)
    rows = "".join(f'{x:.3f},{y:.3f},"{"AB"[int(x > 0)]}{LABEL}"\n' for x, y in rng.normal(size=(60, 2)))
    name = data.own.add_points(io.BytesIO(rows.encode()), LABEL)
    return training.fit(TrainConfig(dataset=name, model="mlp", epochs=1, batch_size=32)).ref


def test_classes_are_only_words_on_every_page(marked):
    own = training.run.files.read_json(training.launch.runs.folder(marked[4:]) / "config.json")["dataset"]
    queries = [("training", {"run": marked, "data": own}), ("training", {"data": own, "view": "Before it runs"}),
               ("training", {"data": own, "view": "Is it real?"}), ("training", {"data": own, "view": "Code"}),
               ("models", {"model": marked})]  # fmt: skip
    queries += [("activations", {"model": marked, "view": view}) for view in
                ("Map", "Layer", "Health", "What it wants", "Embeddings", "A and B", "Surgery")]  # fmt: skip
    found = {}
    for page, query in queries:
        app = open_app(f"pages/{page}.py", **query)
        assert not app.exception, (page, query)
        found[page, query.get("view")] = unescaped(app)
    assert {where: told for where, told in found.items() if told} == {}


@pytest.mark.parametrize("page", ["training", "attribution", "attention", "activations", "diffusion", "models"])
def test_what_a_link_says_is_only_words(page):
    query = dict.fromkeys(("model", "run", "data", "view", "see", "network", "target", "layer", "methods", "hide",
                           "a", "board", "census", "text", "prompt", "steps", "epochs", "lr"), LABEL)  # fmt: skip
    app = open_app(f"pages/{page}.py", **query)
    assert not app.exception
    assert unescaped(app) == []
    app = open_app(f"pages/{page}.py", **{key: LABEL for key in query if key not in ("model", "run")})
    assert not app.exception
    assert unescaped(app) == []


def test_a_text_is_only_words():
    for see in ("Heads", "Does it matter?", "Change it", "Flow"):
        app = open_app("pages/attention.py", model="zoo:story-bert", text=f"the cat {LABEL}", see=see)
        assert not app.exception
        assert unescaped(app) == []
