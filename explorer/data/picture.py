"""A picture file that somebody brings: told by its content, not by its name, and made anew from its pixels alone."""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from explorer.errors import ExplorerError
from explorer.settings import MB, settings

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
UNREADABLE = (
    OSError, EOFError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, AttributeError,
    NotImplementedError, MemoryError, struct.error, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError,
)  # fmt: skip  # what Pillow and zipfile raise over damaged files
SIDE = 2048  # pixels a side above which a picture is made smaller at once: no network looks closer


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of which nothing but its pixels is left."""

    image: Image.Image  # L, RGB or RGBA, turned as its camera says, at most SIDE pixels a side
    moves: bool  # the file has more frames; this is the first

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels."""
        return self.image.width * self.image.height * len(self.image.getbands())


def read_picture(content: bytes, name: str) -> Picture:
    """The picture in a file called `name`; raises ExplorerError for what is none, is damaged, or is too large."""
    limits = settings().limits
    if len(content) > limits.upload:
        raise ExplorerError(name, f"it is larger than {limits.upload // MB} MB", "Make it smaller first")
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:  # reads the header only
            if picture.width * picture.height > limits.image_pixels:
                raise Image.DecompressionBombError
            moves = bool(getattr(picture, "is_animated", False))
            picture.seek(0)
            share = min(1.0, SIDE / max(picture.size))
            picture.draft(None, tuple(round(side * share) for side in picture.size))  # no huge JPEG is unpacked whole
            return Picture(pixels_of(picture), moves)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ExplorerError(name, f"it has more than {limits.image_pixels:,} pixels", "Make it smaller first") from None
    except UNREADABLE as error:
        raise ExplorerError(name, "it is not a picture that can be read", "Choose another file") from error


def pixels_of(picture: Image.Image) -> Image.Image:
    """A picture of any mode in 8 bits, turned as its camera says, not needlessly large, with nothing beside its pixels.

    Raises what Pillow raises where its file is damaged.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("F", "I") or picture.mode.startswith("I;16"):  # any range of numbers, or 16 bits
        values = np.array(picture, dtype=np.float32)
        np.nan_to_num(values, copy=False)
        top = max(1.0, float(values.max(initial=0))) if picture.mode == "F" else 65535.0
        values.clip(0, top, out=values)
        values *= 255 / top
        np.rint(values, out=values)
        picture = Image.fromarray(values.astype(np.uint8))
    transparent = {"A", "a"} & set(picture.getbands()) or "transparency" in picture.info
    picture = picture.convert("RGBA" if transparent else "L" if picture.mode in ("1", "L") else "RGB")
    picture.thumbnail((SIDE, SIDE))
    return Image.fromarray(np.asarray(picture))
