"""Home: what can be done here, shown as pictures of it having been done."""

import streamlit as st

from explorer.ui.page import ASSETS, CARDS

WIDE = 3  # pages in a row

words, picture = st.columns([5, 4], gap="large", vertical_alignment="center")
with words:
    st.title("Train a small network. Then take that very network apart.", anchor=False)
    st.markdown("Real data whose right answers are known, networks that learn them in seconds.")
    if st.button("Train a network now", type="primary", icon=":material/play_arrow:"):
        st.switch_page("pages/training.py")
picture.image(
    str(ASSETS / "home.svg"),
    width="stretch",
    caption="One digit, ten possible answers: what a LeNet believed at each step of its training.",
    alt="A handwritten digit beside a chart in which the belief in the right class grows until it alone remains",
)

for start in range(0, len(CARDS), WIDE):
    for column, page in zip(st.columns(WIDE, gap="medium"), CARDS[start : start + WIDE], strict=False):
        with column.container(border=True):
            st.image(str(ASSETS / page.picture), width="stretch", alt=page.shows)
            st.page_link(page.path, label=f"**{page.title}**", icon=page.icon)
            st.markdown(page.summary)

st.subheader("In one minute", anchor=False)
with st.container(horizontal=True, gap="medium"):
    for icon, sentence in (
        ("looks_one", "Open **Training**, press **Start**."),
        ("looks_two", "Watch it learn, then drag the slider back to any step."),
        ("looks_3", "Copy the link: it opens this very network again."),
    ):
        st.markdown(f":material/{icon}: {sentence}", width="content")
