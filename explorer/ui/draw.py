"""Put a chart on the page, legible on its ground and told in words."""

import altair as alt
import streamlit as st

INK = {"light": "#17212E", "dark": "#EEF3F8"}  # letters inside a chart; the page's theme knows only its axes


def draw(chart: alt.TopLevelMixin, key: str, says: str) -> None:
    """Draw a chart as wide as its place.

    key: keeps it in place while its data change. says: what it shows, for those who can't see it.
    """
    ink = INK.get(st.context.theme.type or "light", INK["light"])
    st.altair_chart(chart.configure_text(color=ink), width="stretch", key=key, alt=says)
