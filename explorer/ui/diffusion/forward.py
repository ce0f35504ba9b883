"""Into noise: how a picture dissolves, in one go and step by step, and how fast by each schedule."""

import numpy as np
import streamlit as st

from explorer import data
from explorer.charts import diffusion as charts
from explorer.diffusion import SCHEDULES
from explorer.diffusion.schedules import dissolve, noised, schedule
from explorer.diffusion.wish import Wish
from explorer.models.noise import FLOW
from explorer.ui.diffusion.drawn import LOW
from explorer.ui.diffusion.source import source
from explorer.ui.draw import draw
from explorer.ui.film import Equation, Reel, Track, film
from explorer.ui.page import guard
from explorer.ui.plane import Cloud, plane
from explorer.ui.row import one_of
from explorer.zoo.denoiser import Denoiser

FRAMES = 26  # times that are shown
SIDE = 64  # pixels a side that are dissolved step by step
SPREAD = 3.0  # deviations of noise that fit into a picture
CLOUD = 1000  # points that dissolve


@st.fragment
@guard()
def forward(model: Denoiser, wish: Wish) -> None:
    """A picture on its way into noise."""
    own = model.config.get("beta_schedule", "linear")
    usual = own if own in SCHEDULES else "linear"
    name = one_of(
        "Noise schedule",
        list(SCHEDULES),
        default=usual,
        key="schedule",
        format_func=lambda one: SCHEDULES[one].facts["title"],
    )
    belongs = " It is the one of this network." if name == own and model.config.get("prediction_type") != FLOW else ""
    st.caption(SCHEDULES[name].summary + belongs)
    times = _times(len(schedule(name).betas))
    points = model.x_shape == (2,)
    at = _points(model, name, times) if points else _picture(model, name, times, wish.seed)
    every = [schedule(one) for one in SCHEDULES]
    left, right = st.columns(2)
    with left:
        draw(charts.schedules, every, "signal", int(times[at]), key="signal", says="The share of signal over the time")
    with right:
        draw(charts.schedules, every, "snr", int(times[at]), key="snr", says="The signal-to-noise ratio over the time")


def _times(whole: int) -> np.ndarray:
    """The times that are shown, from the clean picture at -1 to the last."""
    return np.unique(np.linspace(-1, whole - 1, FRAMES).round().astype(int))


def _picture(model: Denoiser, name: str, times: np.ndarray, seed: int) -> int:
    """The films of one picture: in one go beside step by step, and by every schedule."""
    picture = source(model, SIDE)  # (H, W, C) uint8
    clean = picture / 127.5 - 1
    every = {one: np.append(1.0, schedule(one).alphas_bar) for one in SCHEDULES}  # at -1 all is signal
    by_steps, noise = dissolve(clean, schedule(name).betas, seed, times + 1)
    epsilon = noise[-1]
    at_once = np.stack([noised(clean, epsilon, every[name][t + 1]) for t in times])
    limits = np.maximum(1.0, SPREAD * np.sqrt(1 - every[name][times + 1]))
    reels = (
        Reel("xₜ in one go", _bytes(at_once, limits), limits),
        Reel("xₜ step by step", _bytes(by_steps, limits), limits),
        Reel("x₀", _bytes(np.stack([clean] * len(times)), np.ones(len(times))), np.ones(len(times))),
        Reel("ε", _bytes(np.stack([epsilon] * len(times)), np.full(len(times), SPREAD)), np.full(len(times), SPREAD)),
    )
    labels = tuple(_label(t, every[name][t + 1]) for t in times)
    sums = tuple(_sum(t, every[name][t + 1]) for t in times)
    at = film([Track(reels, labels, equations=sums)], "forward", at=len(times) // 4, side=170)
    st.markdown("**The same noise by every schedule**")
    tracks = []
    for one, shares in every.items():
        wide = np.maximum(1.0, SPREAD * np.sqrt(1 - shares[times + 1]))
        states = np.stack([noised(clean, epsilon, shares[t + 1]) for t in times])
        told = tuple(_label(t, shares[t + 1]) for t in times)
        tracks.append(Track((Reel("", _bytes(states, wide)),), told, SCHEDULES[one].facts["title"]))
    film(tracks, "by-schedule", at=len(times) // 4, side=110)
    return at


def _points(model: Denoiser, name: str, times: np.ndarray) -> int:
    """Clouds of points that dissolve, by the chosen schedule and along the straight line of flow matching."""
    test = data.load(model.card.dataset or "points", "test", **dict(model.card.dataset_settings))
    clean, y = test.x[:CLOUD], test.y[:CLOUD]
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    shares = np.append(1.0, schedule(name).alphas_bar)
    curved = np.stack([noised(clean, noise, shares[t + 1]) for t in times])
    sigmas = (times + 1) / len(schedule(name).betas)
    straight = np.stack([(1 - sigma) * clean + sigma * noise for sigma in sigmas])
    labels = tuple(_label(t, shares[t + 1]) for t in times)
    lines = tuple(f"σ = {sigma:.2f}" for sigma in sigmas)
    title = SCHEDULES[name].facts["title"]
    return plane(
        [Cloud(curved, labels, f"Diffusion, {title.lower()}", groups=y, names=test.labels),
         Cloud(straight, lines, "Flow matching, a straight line", groups=y, names=test.labels)],
        "forward-points", at=len(times) // 4,
    )  # fmt: skip


def _label(time: int, share: float) -> str:
    return "the picture itself" if time < 0 else f"t = {time} · ᾱ = {share:.3g}"


def _sum(time: int, share: float) -> Equation:
    """The closed form at a time."""
    name = f"x{str(max(time, 0)).translate(LOW)}"
    note = "Any time at once: the picture fades by √ᾱ, and the noise grows by √(1 − ᾱ), so that the variance stays."
    return Equation(name, ((share**0.5, "x₀", 2), ((1 - share) ** 0.5, "ε", 3)), note)


def _bytes(x: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Values between ± the limit of their frame as bytes, (F, H, W, C)."""
    return np.clip(np.rint((x / limits.reshape(-1, 1, 1, 1) + 1) * 127.5), 0, 255).astype(np.uint8)
