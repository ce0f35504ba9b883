"""Whatever a person has as a picture, as the uint8 tensors that networks start from."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from explorer.data.picture import UNREADABLE, pixels_of
from explorer.errors import ExplorerError
from explorer.settings import settings

NARROW = 50  # times as long as wide
GREY = torch.tensor([0.299, 0.587, 0.114])  # how bright red, green and blue look (ITU-R BT.601)


def batches(pictures: Any, channels: int) -> list[Tensor]:
    """Pictures as uint8 tensors (N, C, H, W): one for an array, one each for pictures of their own size.

    pictures: a PIL image of any mode, uint8 (H, W), (H, W, C) or (N, H, W, C) with 1, 3 or 4 channels, or a list
    of PIL images and arrays. Transparent parts are put on white. Raises ExplorerError for anything else, and for a
    PIL image with more pixels than this server decodes.
    """
    if isinstance(pictures, Image.Image):
        pictures = [pictures]
    if isinstance(pictures, list | tuple):
        return [batch for picture in pictures for batch in batches(_array(picture), channels)]
    array = np.asarray(pictures)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3:
        array = array[None]
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape[1:]:
        raise ExplorerError(
            "The picture",
            f"it is an array of {array.dtype} with shape {array.shape}",
            "Give uint8 values as (height, width, channels) or (number, height, width, channels)",
        )
    height, width = array.shape[1:3]
    if max(height, width) > NARROW * min(height, width):
        raise ExplorerError("The picture", f"{width}×{height} pixels are too narrow a strip", "Cut a part out of it")
    pixels = torch.from_numpy(np.array(array)).permute(0, 3, 1, 2)  # (N, C, H, W), a copy of its own
    return [_recoloured(pixels, channels)]


def fit(pixels: Tensor, height: int, width: int) -> Tensor:
    """The largest part in the middle that has the right proportions, at the right size: (N, C, height, width)."""
    have = pixels.shape[-2:]
    if have == (height, width):
        return pixels
    scale = min(have[0] / height, have[1] / width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (have[0] - size[0]) // 2, (have[1] - size[1]) // 2
    part = pixels[..., top : top + size[0], left : left + size[1]].float()
    resized = functional.interpolate(part, (height, width), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def _array(picture: Any) -> Any:
    """A PIL image of any mode as uint8 (H, W, C), turned as its camera says and not needlessly large."""
    if not isinstance(picture, Image.Image):
        return picture
    most = settings().limits.image_pixels
    if picture.width * picture.height > most:
        raise ExplorerError(
            "The picture", f"{picture.width}×{picture.height} pixels are more than {most:,}", "Make it smaller first"
        )
    try:
        return np.asarray(pixels_of(picture))
    except UNREADABLE as error:
        raise ExplorerError("The picture", f"it is damaged ({error})", "Save it again, or choose another") from error


def _recoloured(pixels: Tensor, channels: int) -> Tensor:
    """(N, 1, 3 or 4, H, W) → (N, channels, H, W)."""
    have = pixels.shape[1]
    if have == 4:
        share = pixels[:, 3:].float() / 255
        pixels = (pixels[:, :3] * share + 255 * (1 - share)).round().to(torch.uint8)
        have = 3
    if have == 1 and channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    if have == 3 and channels == 1:
        return torch.einsum("nchw,c->nhw", pixels.float(), GREY).round().to(torch.uint8)[:, None]
    return pixels
