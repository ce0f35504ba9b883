"""The Deep Learning Explorer: `streamlit run app.py`."""

import os
import sys

import streamlit as st

from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.ui.page import ASSETS, INSIDE, guard, navigation, refuse
from explorer.ui.status import status

st.set_page_config("Deep Learning Explorer", str(ASSETS / "icon.svg"), layout="wide")

try:
    os.environ.setdefault("OMP_NUM_THREADS", str(settings().limits.threads))  # torch reads it when it is imported
except ExplorerError as error:
    print(error, file=sys.stderr)
    refuse(error)
    st.stop()

st.session_state[INSIDE] = True
page = navigation()
status()
with guard():
    page.run()
