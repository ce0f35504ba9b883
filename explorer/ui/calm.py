"""What has come is drawn while a page still runs: `components/calm.js` says what hinders it."""

import streamlit as st

from explorer.ui.component import component

KEY = "calm"
STYLE = f"<style>.st-key-{KEY} {{ display: none; }}</style>"


def calm() -> None:
    """Put it into the page, before anything that takes long; it takes no room."""
    st.html(STYLE)
    component(KEY)(key=KEY)
