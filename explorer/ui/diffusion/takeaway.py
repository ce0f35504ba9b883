"""Take it away: a strip, an animation, the numbers, the script that draws the same, and the link."""

import streamlit as st

from explorer import zoo
from explorer.diffusion import Trajectory, export
from explorer.diffusion.script import script
from explorer.diffusion.wish import Wish
from explorer.errors import ExplorerError
from explorer.ui.diffusion.drawn import shot
from explorer.ui.give import give, link
from explorer.ui.page import plain
from explorer.zoo.denoiser import Denoiser
from explorer.zoo.own import zipped


def takeaway(model: Denoiser, wish: Wish, found: Trajectory) -> None:
    """Downloads of a sampling, and a script that stands alone."""
    st.subheader("Take it away", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if model.x_shape != (2,):
            rows = lambda: [shot(kind, model, found, wish) for kind in ("states", "believed")]  # noqa: E731
            give("PNG strip", lambda: export.strip(rows()), "diffusion.png")
            give("GIF", lambda: export.animation(rows()), "diffusion.gif")
            give("WebP", lambda: export.animation(rows(), "WEBP"), "diffusion.webp")
        give("NPZ", lambda: export.npz(found), "diffusion.npz")
        link("It opens this page with the same network, condition, sampler, steps and seed: the same samples.")
    st.caption("NPZ holds every state, what the network answered, and what that means, by the names in the code.")
    with st.expander("The same in PyTorch and diffusers", icon=":material/code:"):
        try:
            st.code(script(found), language="python", height=420)
        except ExplorerError as error:
            st.caption(f"There is no script for this one: {plain(error.wrong)}.")
            return
        if zoo.parse(found.ref).source not in ("file", "hf"):
            give("model.zip", lambda: zipped(model), "model.zip")
            st.caption(
                "Put `model.zip` beside the script, which unpacks it. It leaves `samples.npy`, the very samples."
            )
