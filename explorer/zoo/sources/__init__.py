"""Where models come from, one source a file: it registers under the word before the colon of a ref."""

import sys

from explorer.registry import discover
from explorer.zoo.sources.base import SOURCES

discover(sys.modules[__name__])

__all__ = ["SOURCES"]
