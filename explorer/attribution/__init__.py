"""Which parts of a picture made a network answer as it did, and how far each method's word can be trusted."""

from explorer.attribution import methods
from explorer.attribution.base import METHODS, Attribution, Case
from explorer.attribution.explain import attribute, explain, map_layer, map_layers, open_case, price, unfit, why
from explorer.registry import discover

__all__ = [
    "METHODS", "Attribution", "Case", "attribute", "explain", "map_layer", "map_layers", "open_case", "price", "unfit",
    "why",
]  # fmt: skip

discover(methods)
