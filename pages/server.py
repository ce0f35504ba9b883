"""This server: what is here and what is missing, what you keep on it, and the teacher's view."""

import streamlit as st

from explorer.ui.page import guard, inside_app
from explorer.ui.server.check import check
from explorer.ui.server.mine import mine
from explorer.ui.server.teacher import teacher

inside_app()
st.title("This server", anchor=False)
with guard():
    check()
with guard():
    mine()
with guard():
    teacher()
