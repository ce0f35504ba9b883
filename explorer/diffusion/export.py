"""A trajectory to take away: a strip, an animation, and all its numbers."""

import io

import numpy as np
from PIL import Image

from explorer.diffusion.base import Trajectory
from explorer.diffusion.frames import Frames

MOST = 10  # columns of a strip
TALL = 128  # pixels that a frame of a strip or an animation is enlarged to, at least
MILLISECONDS, LAST = 120, 1500  # that a frame stays, and the last one


def strip(rows: list[Frames]) -> bytes:
    """States from noise to sample in a row, and what was believed in the rows below, as a PNG file."""
    count = len(rows[0].pictures)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int))
    lines = [np.concatenate([_colours(row.pictures[at]) for at in chosen], 1) for row in rows]
    return _file(Image.fromarray(np.concatenate(lines)), _factor(lines[0].shape[0]), "PNG")


def animation(rows: list[Frames], kind: str = "GIF") -> bytes:
    """The states with what was believed beside them, frame by frame. kind: GIF or WEBP."""
    frames = [np.concatenate([_colours(row.pictures[at]) for row in rows], 1) for at in range(len(rows[0].pictures))]
    factor = _factor(frames[0].shape[0])
    pictures = [
        Image.fromarray(frame).resize((frame.shape[1] * factor, frame.shape[0] * factor), Image.Resampling.NEAREST)
        for frame in frames
    ]
    file = io.BytesIO()
    stays = [MILLISECONDS] * (len(pictures) - 1) + [LAST]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], duration=stays, loop=0, **lossless)
    return file.getvalue()


def npz(found: Trajectory) -> bytes:
    """Every number of a trajectory as a compressed NumPy archive, by the names of its fields."""
    arrays = {
        "x": found.x, "clean": found.clean, "noise": found.noise, "answers": found.answers,
        "timesteps": found.timesteps, "alphas_bar": found.alphas_bar,
        "sigmas": found.sigmas, "seeds": np.array(found.seeds),
        "guidance": np.array(found.guidance), "conditions": np.array(found.conditions),
    }  # fmt: skip
    if found.knowing is not None:
        arrays |= {"knowing": found.knowing, "without": found.without}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _colours(picture: np.ndarray) -> np.ndarray:
    """A grey picture in three colours."""
    return np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture


def _factor(height: int) -> int:
    return max(1, -(-TALL // height))


def _file(picture: Image.Image, factor: int, kind: str) -> bytes:
    file = io.BytesIO()
    picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST).save(file, kind)
    return file.getvalue()
