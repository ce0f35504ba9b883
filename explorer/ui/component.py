"""A component of the browser, made of its files in `components/` and of the hands that all of them share."""

from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent / "components"


@st.cache_resource
def component(name: str, *parts: str):
    """The component `name`; its script is those of its parts, one after the other, and so is its style."""
    parts = parts or (name,)
    scripts = [HERE / f"{part}.js" for part in ("hands", *parts)]
    styles = [path for part in parts if (path := HERE / f"{part}.css").exists()]
    script, style = ("\n".join(path.read_text("utf-8") for path in paths) for paths in (scripts, styles))
    return st.components.v2.component(f"explorer-{name}", js=script, css=style)
