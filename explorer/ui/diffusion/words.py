"""Words: which word looks where, step by step, and whether it looks at what it names."""

from dataclasses import replace

import numpy as np
import streamlit as st
import torch

from explorer.diffusion import Trajectory
from explorer.diffusion.wish import Wish
from explorer.diffusion.word_scores import TIME, Look, look, noun_places
from explorer.diffusion.words import WordMaps, word_maps
from explorer.errors import ExplorerError
from explorer.ui.diffusion.drawn import drawn, labels, shot
from explorer.ui.diffusion.source import own_test
from explorer.ui.film import Reel, Track, film
from explorer.ui.heatmaps import Tile, View, heatmaps
from explorer.ui.page import guard, plain
from explorer.ui.worked import worked_out
from explorer.zoo.denoiser import Denoiser

LITTLE = {"a", "an", "the", "of", ",", "."}  # words that are left out until they are asked for


def words(model: Denoiser, wish: Wish) -> None:
    """The maps of a sample's words, and those of a real picture against the truth."""
    if model.kind != "text":
        raise ExplorerError("Words", f"{model.card.ref} reads none", "Choose a network that draws from prompts")
    if not wish.conditions[0]:
        raise ExplorerError("Words", "the prompt is empty", "Write a few")
    wish = replace(wish, conditions=wish.conditions[:1], count=1)
    found = drawn(wish)
    _in_sample(model, wish, found)
    if own_test(model) is not None and own_test(model).masks is not None:
        _against_truth(model)


@st.fragment
@guard()
def _in_sample(model: Denoiser, wish: Wish, found: Trajectory) -> None:
    """Where each word looks, over the picture that the network believes in at that step."""
    maps = worked_out(("words", wish), lambda on_step: word_maps(found), "Asking where each word looks …")
    names = list(dict.fromkeys(maps.words))
    chosen = st.pills(
        "Words", names, selection_mode="multi", default=[name for name in names if name.lower() not in LITTLE][:6],
        key="words", bind="query-params",
    )  # fmt: skip
    believed = shot("believed", model, found, wish)
    reels = [Reel("Believed picture x̂₀", believed.pictures)]
    reels += [Reel(f"“{name}”", _lit(believed.pictures, _map(maps, name))) for name in chosen]
    film([Track(tuple(reels), labels(found))], "words-film", at=len(found.answers) // 2, side=150)
    st.caption(
        "A place is lit by the share of its attention that the word has, mean over heads and layers; the brightest "
        "place of each step is the word's largest share there."
    )


def _map(maps: WordMaps, name: str) -> np.ndarray:
    """The map of a word, of one that stands twice their sum, (E + 1, h, w): the last step stays for the sample."""
    rows = [row for row, word in enumerate(maps.words) if word == name]
    one = maps.maps[:, rows].sum(1)
    return np.concatenate([one, one[-1:]])


def _lit(pictures: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Pictures (F, H, W, C) uint8, dark where the map (F, h, w) is low."""
    light = torch.nn.functional.interpolate(
        torch.tensor(maps[:, None]), pictures.shape[1:3], mode="bilinear", align_corners=False
    ).numpy()[:, 0, :, :, None]
    low, high = light.min((1, 2, 3), keepdims=True), light.max((1, 2, 3), keepdims=True)
    share = (light - low) / np.maximum(high - low, 1e-9)
    return np.rint(pictures * (0.12 + 0.88 * share)).astype(np.uint8)


@st.fragment
@guard()
def _against_truth(model: Denoiser) -> None:
    """A real picture, noised half-way, whose objects' true masks are known."""
    st.markdown(
        "**Does a word look at what it names?** A real picture, noised, with the true outline of the first object"
    )
    test = own_test(model)
    rows = noun_places(test)
    left, right = st.columns([1, 2], gap="large")
    with left:
        number = st.slider("Real picture", 0, len(rows) - 1, 0, key="truth", bind="query-params")
        time = st.slider("Noised to t", 0, 999, TIME, key="truth-time", bind="query-params")
        row = rows[number]
        seen: Look = look(model, test, row, time)
        st.markdown(f"“{plain(test.captions[row])}”")
        st.metric(f"Of “{plain(seen.noun)}” on its object", f"{seen.on_noun:.0%}",
                  f"{seen.on_noun / max(seen.uniform, 1e-9):.1f} times a uniform map")  # fmt: skip
        figures = {name.removeprefix("on the object, "): value for name, value in model.card.metrics.items()
                   if name.startswith("on the object")}  # fmt: skip
        if figures:
            told = ", ".join(f"{name} {value:.0%}" for name, value in figures.items())
            st.caption(f"Over 200 real pictures at t = {TIME}, the share that lies on the first object: {told}.")
    with right:
        tiles = [
            Tile(f"“{name}”", f"{share:.0%} on the outlined object", _large(one, test.x.shape[1:3]), test.x[row],
                 test.masks[row])
            for name, one, share in seen.words
        ]  # fmt: skip
        heatmaps(tiles, "truth-maps", View("size"), side=120)


def _large(one: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A map (h, w) at the size of the picture."""
    return np.kron(one, np.ones((shape[0] // one.shape[0], shape[1] // one.shape[1])))
