"""The architectures, one family a file, written to be read. Importing this imports torch."""

import sys

from explorer.models.base import MODELS, build, check_reads, count, fitting, outline, reads, unfit
from explorer.registry import discover

discover(sys.modules[__name__])

__all__ = ["MODELS", "build", "check_reads", "count", "fitting", "outline", "reads", "unfit"]
