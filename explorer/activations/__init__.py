"""Activations: what every layer computes, what its units want, and where two networks differ."""

from explorer.activations.base import Activations, Layer
from explorer.activations.capture import capture
from explorer.activations.cka import CKA, cka
from explorer.activations.feed import Feed, feed, sample
from explorer.activations.modelmap import ModelMap, model_map
from explorer.activations.sums import very_sum
from explorer.activations.surgery import Cut, damage, operate

__all__ = [
    "CKA", "Activations", "Cut", "Feed", "Layer", "ModelMap", "capture", "cka", "damage", "feed", "model_map",
    "operate", "sample", "very_sum",
]  # fmt: skip
