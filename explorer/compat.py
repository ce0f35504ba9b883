"""Lets torchvision be imported on a CPU build of torch.

The torchvision wheel of the package index is linked against CUDA torch. On CPU-only torch its compiled
operators do not load, and `import torchvision` then fails with "operator torchvision::nms does not exist",
because it describes operators that were never declared. Declaring their schemas first makes everything work
except those very operators. Nothing is declared where the operators do load.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library = None  # holds the declarations: they go when their Library object goes


class TorchvisionFinder:
    """A first look at `import torchvision`, so that neither it nor torch is imported before it is needed."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Declare the operators where they are missing, then let the import go its usual way."""
        if name != "torchvision":
            return None
        with contextlib.suppress(ValueError):  # two threads may look at once
            sys.meta_path.remove(cls)
        spec = importlib.util.find_spec("torchvision")
        if spec and spec.origin:
            declare_missing(Path(spec.origin).parent)
        return spec


def declare_missing(folder: Path) -> bool:
    """Declare torchvision's operators unless those compiled in `folder` load; True when it declared them."""
    global _library  # noqa: PLW0603
    import torch

    for compiled in (*folder.glob("_C*.so"), *folder.glob("_C*.pyd")):
        try:
            torch.ops.load_library(compiled)
        except OSError:
            continue
        return False
    _library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        _library.define(schema)
    return True


def install() -> None:
    """Take the first look, once."""
    if "torchvision" not in sys.modules and TorchvisionFinder not in sys.meta_path:
        sys.meta_path.insert(0, TorchvisionFinder)
