"""The Deep Learning Explorer: train a small network, then take that very network apart."""

from explorer import compat

compat.install()
