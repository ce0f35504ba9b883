"""The leaderboard: the same measures over many test images, as a job."""

import pandas as pd
import streamlit as st

from explorer import zoo
from explorer.attribution import METHODS, leaderboard
from explorer.attribution.arena import Question, Settings, estimate
from explorer.attribution.leaderboard import BASELINES, Race
from explorer.attribution.measures import MEASURES
from explorer.charts import attribution as charts
from explorer.ui.begun import begin
from explorer.ui.draw import draw
from explorer.ui.page import guard, plain
from explorer.ui.person import person
from explorer.ui.pickers import remembered, segments
from explorer.ui.watch import broke_off, job_of, watch
from explorer.zoo.model import Model

OVERHEAD = 85  # passes that the measures of one map take: two curves, and the squares of infidelity


def board(model: Model, question: Question, methods: dict[str, Settings]) -> None:
    """Choose how many images, start, watch; the race is `?board=` in the URL."""
    chosen = (*methods, *(name for name in BASELINES if name not in methods))
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    images = left.slider("Test images", 10, 500, 100, step=10, key="board-images", bind="query-params")
    seconds = estimate(model, dict.fromkeys(chosen, ()))[1] + len(chosen) * OVERHEAD * estimate_pass(model)
    told = f"{len(chosen)} methods with their usual settings, Random and Sobel among them: about"
    st.caption(f"{told} {max(1, seconds * images / 60):.0f} min in the background.")
    with right, guard():
        if st.button("Start the race", type="primary", icon=":material/flag:", key="race", width="stretch"):
            asked = Race(model.card.ref, chosen, images, question.layer, question.seed)
            begin("board", lambda: leaderboard.start(asked, person()))
    own = zoo.parse(model.card.ref).name
    usual = own if own in leaderboard.recorded() else ""
    id = remembered("board", usual)
    if not id:
        st.info("Nothing raced yet. The result has a link of its own.", icon=":material/leaderboard:")
        return
    if id in leaderboard.recorded():
        st.caption("A recorded race of every method that fits. Start one of your own above; it gets its own link.")
    _race(id)


def estimate_pass(model: Model) -> float:
    """Seconds that one example takes forth; there and back is what `pace` measures."""
    from explorer.attribution.arena import pace

    return pace(model) / 2


def _race(id: str) -> None:
    race = leaderboard.race(id)
    job = job_of(id)
    if job and not job.over:
        watch(id, "race", lambda: _standing(id, leaderboard.race(id)))
    else:
        if len(leaderboard.rows(id)) < race.images and id not in leaderboard.recorded():
            st.warning(plain(broke_off(job)))
        _standing(id, race)


def _standing(id: str, race: Race) -> None:
    """Where it stands: a chart of one measure, and the table of all."""
    measured = leaderboard.rows(id)
    if not measured:
        st.caption("No image is done yet.")
        return
    kinds = [m for m in MEASURES if any(f"{method} {m.name}" in measured[0] for method in race.methods)]
    found = leaderboard.standing(race.methods, measured, [kind.name for kind in kinds])
    titles = [METHODS[name].facts["title"] for name in found.methods]
    st.markdown(f"**{plain(race.ref)}**, {found.images} of {race.images} test images")
    names = [kind.name for kind in kinds]
    first = "mass" if "mass" in names else "deletion"
    picked = segments("Measure", [first, *(name for name in names if name != first)], "board-measure")
    kind = kinds[names.index(picked)]
    st.caption(kind.about)
    draw(charts.standing, found, kind, titles, key=f"standing-{picked}", says=f"The methods by {picked}")
    frame = pd.DataFrame({"method": titles})
    for column, kind in enumerate(kinds):
        arrow = "↓" if kind.better == "lower" else "↑"
        frame[f"{kind.name} {arrow}"] = found.mean[:, column]
        frame[f"± {kind.name}"] = found.margin[:, column]
    st.dataframe(frame.style.format(precision=3, na_rep="–"), hide_index=True, width="stretch", height="content",
                 placeholder="–")  # fmt: skip
    st.caption("± is half of the 95 % confidence interval of the mean. Click a heading to sort.")
    per_image = pd.DataFrame(measured).to_csv(index=False).encode()
    st.download_button("Every image as CSV", per_image, f"leaderboard-{id[:8]}.csv", icon=":material/download:")
