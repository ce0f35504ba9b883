"""Activations: what every layer computes, what its units want, and where two networks differ."""

from explorer.activations.base import Activations, Layer
from explorer.activations.capture import capture
from explorer.activations.feed import Feed, feed, sample

__all__ = ["Activations", "Feed", "Layer", "capture", "feed", "sample"]
