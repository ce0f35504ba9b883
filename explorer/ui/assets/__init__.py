"""The pictures of Home and the icon, made from real results: `python -m explorer.ui.assets`."""
