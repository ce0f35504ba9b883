"""The only Streamlit inside `explorer`: what several pages share."""
