"""The planted shortcut: a network that looks right, the maps that give it away, and the tag to move about."""

import streamlit as st

from explorer import data, zoo
from explorer.attribution.arena import Example, Question, ask, marks
from explorer.charts import models as model_charts
from explorer.data.shapes_shortcut import CORNERS, tagged
from explorer.ui.attribution.arena import table
from explorer.ui.attribution.maps import show, tiles
from explorer.ui.attribution.question import answer
from explorer.ui.draw import draw
from explorer.ui.heatmaps import Tile
from explorer.ui.page import plain
from explorer.ui.pickers import choose

REF = "zoo:shapes-shortcut"
METHODS = ("integrated_gradients", "deeplift", "saliency", "grad_cam", "sobel", "random")


def shortcut() -> None:
    """Look at its accuracy, look at the maps, then move the tag."""
    model = zoo.load(REF)
    scenes = data.load("shapes-shortcut", "test", tag="absent")
    metrics = model.card.metrics
    st.markdown(
        f"This network was trained on pictures with a small tag in a corner. On new pictures of that kind it is right "
        f"**{metrics['validation accuracy']:.1%}** of the time. Would you use it? See what it looks at, then change "
        f"what the tag says, move it, or take it away."
    )
    index, label, corner = _controls(scenes)
    if label is None:
        pixels, mask = scenes.x[index], None
    else:
        pixels, mask = tagged(scenes.x[index], label, CORNERS.index(corner))
    example = Example(f"lesson/{index}/{label}/{corner if label is not None else ''}", pixels[None],
                      int(scenes.y[index]), mask)  # fmt: skip
    probabilities = answer(model, example)
    guess = int(probabilities.argmax())
    truth = int(scenes.y[index])
    left, right = st.columns(2, gap="large", vertical_alignment="center")
    with left:
        says = "no tag" if label is None else f"a tag that says **{scenes.labels[label]}**"
        verdict = "right" if guess == truth else "wrong"
        st.markdown(
            f"A **{scenes.labels[truth]}** with {says}. The network says **{plain(scenes.labels[guess])}** "
            f"({probabilities[guess]:.1%}): {verdict}."
        )
        if label is not None and guess == label and guess != truth:
            st.warning("It believes the tag, not the shape.", icon=":material/sell:")
        elif label is None and guess != truth:
            st.warning("Without the tag it is lost.", icon=":material/help:")
    with right:
        draw(
            model_charts.answer, probabilities, model.labels, truth, key="lesson-answer",
            says=f"What the network says: {model.labels[guess]}",
        )  # fmt: skip
    asked = Question(REF, example, guess)
    answers = ask(asked, dict.fromkeys(METHODS, ()))
    drawn = tiles(answers, mask)
    drawn.insert(0, Tile("The picture", "outlined: the tag" if mask is not None else "no tag", None, pixels, mask))
    show(drawn, "tagged")
    if mask is None:
        st.caption("Put the tag back to score the maps against it.")
        return
    found = [one for one in answers if one.found]
    st.markdown("**How well each map finds the tag** (the tag's pixels are the truth here)")
    with st.spinner("Measuring …"):
        measured = marks(asked, {one.method: () for one in found})
    table(measured, [one.title for one in found])
    st.page_link(
        "pages/attribution.py",
        label="Put this network into the arena",
        icon=":material/stadium:",
        query_params={"model": REF},
    )


def _controls(scenes: data.Dataset) -> tuple[int, int | None, str]:
    """Which scene, what its tag says, and where it is; all of it in the URL."""
    first, second, third = st.columns(3, vertical_alignment="bottom")
    with first:
        index = st.slider("Scene", 0, 99, 0, key="scene", bind="query-params")
    truth = int(scenes.y[index])
    lie = (truth + 3) % len(scenes.labels)
    names = {"lie": f"a lie: {scenes.labels[lie]}", "truth": f"the truth: {scenes.labels[truth]}", "none": "no tag"}
    names |= {str(label): name for label, name in enumerate(scenes.labels)}
    with second:
        says = choose("The tag says", list(names), "truth", "tag", names.__getitem__)
    with third:
        free = [name for name in CORNERS if not (tagged(scenes.x[index], 0, CORNERS.index(name))[1]
                                                 & scenes.masks[index]).any()]  # fmt: skip
        corner = choose("Its corner", free, free[0], "corner", str)
    label = {"lie": lie, "truth": truth, "none": None}.get(says, int(says) if says.isdigit() else None)
    return index, label, corner
