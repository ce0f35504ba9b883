"""The Deep Learning Explorer: `streamlit run app.py`."""

import os
import sys
from pathlib import Path

import streamlit as st
from streamlit import config

from explorer.ui.calm import calm

ICON = Path(__file__).parent / "explorer/ui/assets/icon.svg"

st.set_page_config("Deep Learning Explorer", str(ICON), layout="wide")
calm()  # before what takes a second to import the first time

from explorer.errors import ExplorerError
from explorer.housekeeping import DOWNLOADS
from explorer.memory import hold_together, tidy
from explorer.settings import MB, settings
from explorer.turns import SWITCH
from explorer.ui import handoffs, history, imports, rerun
from explorer.ui.begun import keep_begun
from explorer.ui.lesson import hide, lesson
from explorer.ui.links import checked
from explorer.ui.page import INSIDE, guard, look, navigation, refuse
from explorer.ui.status import status
from explorer.ui.tour import tour

hold_together()
rerun.mend()
handoffs.mend()
history.mend()

try:
    os.environ.setdefault("OMP_NUM_THREADS", str(settings().limits.threads))  # torch reads it when it is imported
    sys.setswitchinterval(SWITCH)
    config.set_option("server.maxUploadSize", max(1, settings().limits.upload // MB))  # else a browser alone minds it
    if settings().temporary:  # the home takes nothing, so downloads go where all else goes
        os.environ.setdefault("XDG_CACHE_HOME", str(settings().data / DOWNLOADS))
except ExplorerError as error:
    print(error, file=sys.stderr)
    refuse(error)
    st.stop()

st.session_state[INSIDE] = True
keep_begun()
page = navigation()
look()
history.entries()
status()
tour(page)
hide()
with checked(page.title), guard():
    if settings().shared and page.title not in imports.LIGHT:
        imports.wait()
    page.run()
lesson()
tidy()
if settings().shared:
    imports.begin()
