"""Reads pictures in class folders, from a folder or a zip that somebody else made."""

import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from explorer.data.base import one_line
from explorer.data.picture import FORMATS, UNREADABLE
from explorer.errors import ExplorerError
from explorer.settings import MB, settings

SPARED = 0.05  # of the pictures may be unusable
FILE = 64 * MB  # the largest picture file
RATIO = 100  # a zip that unpacks to more than this many times its size is a bomb: pictures hardly shrink at all
DENSE = 50  # pixels a byte that pictures may have together: a photograph has 3 to 8
SPLIT_FOLDERS = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "validation", "valid": "validation", "validation": "validation",
}  # fmt: skip
IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}  # what systems leave behind, beside names that begin with a dot


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one size with what their folders say."""

    x: np.ndarray  # (N, side, side, 3) uint8
    labels: list[str]  # parallel to x
    splits: list[str]  # parallel to x: train, validation or test
    left_out: list[str]  # "file (reason)" for each that could not be used


@dataclass(frozen=True)
class _File:
    path: tuple[str, ...]  # folders and name
    size: int  # bytes when unpacked
    read: Callable[[], bytes]

    def __str__(self) -> str:
        return "/".join(self.path)


class _Unusable(Exception):
    """Why one picture can't be used, as a clause."""


def read_pictures(source: Path | BinaryIO, side: int, asked: str) -> Pictures:
    """Every usable picture, cropped to its middle square and resized to `side`; raises ExplorerError otherwise."""
    with _files(source, asked) as files:
        placed = _placed(files, asked)
        size = len(placed) * side * side * 3
        if size > settings().limits.cache:
            raise ExplorerError(
                asked,
                f"{len(placed):,} pictures of {side}×{side} pixels take {size // MB:,} MB, more than this server keeps",
                "Bring fewer, or choose a smaller side",
            )
        x = np.empty((len(placed), side, side, 3), np.uint8)
        labels, splits, left_out = [], [], []
        spent = _Spent(asked, side)
        for file, split, label in placed:
            try:
                x[len(labels)] = _square(file, side, spent)
            except _Unusable as reason:
                left_out.append(f"{file} ({reason})")
                if len(left_out) > SPARED * len(placed):
                    raise ExplorerError(
                        asked, f"too many of its files can't be used: {'; '.join(left_out[:3])}", "Mend or remove them"
                    ) from None
            else:
                labels.append(label)
                splits.append(split)
    return Pictures(x[: len(labels)], labels, splits, left_out)


class _Spent:
    """The pixels in the files so far, against what their bytes may hold: blank ones shrink to next to nothing."""

    def __init__(self, asked: str, side: int) -> None:
        self.asked, self.side, self.pixels, self.bytes = asked, side, 0, 0

    def take(self, file: _File, pixels: int) -> None:
        """Count one more picture before it is decoded; raises ExplorerError where that is too much work."""
        self.pixels, self.bytes = self.pixels + pixels, self.bytes + file.size
        if self.pixels > settings().limits.image_pixels // 2 + DENSE * self.bytes:
            wrong = f"up to {str(file)!r} there are {self.pixels:,} pixels in {self.bytes:,} bytes, as in bombs"
            raise ExplorerError(
                self.asked, wrong, f"Make them smaller first: each becomes a square of {self.side} pixels"
            )


def _square(file: _File, side: int, spent: _Spent) -> np.ndarray:
    """One picture, (side, side, 3) uint8; raises _Unusable."""
    if file.size > FILE:
        raise _Unusable(f"it is larger than {FILE // MB} MB")
    limit = settings().limits.image_pixels
    try:
        content = file.read()
        with Image.open(BytesIO(content), formats=FORMATS) as image:  # reads the header only
            if image.width * image.height > limit:
                raise _Unusable(f"its {image.width:,}×{image.height:,} pixels are more than {limit:,}")
            spent.take(file, image.width * image.height)
            image.draft("RGB", (2 * side, 2 * side))  # a JPEG may be decoded at a half, a quarter or an eighth
            ImageOps.exif_transpose(image, in_place=True)
            fitted = ImageOps.fit(_coloured(image), (side, side), Image.Resampling.LANCZOS)
            if fitted.mode == "RGBA":  # what is see-through is shown on white
                fitted = Image.alpha_composite(Image.new("RGBA", fitted.size, "white"), fitted)
            return np.asarray(fitted.convert("RGB"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _Unusable(f"it has more than {limit:,} pixels") from None
    except Image.UnidentifiedImageError:
        raise _Unusable("it is no picture in PNG, JPEG, GIF, BMP, WebP or TIFF") from None
    except UNREADABLE as error:
        raise _Unusable("it is damaged") from error


def _coloured(image: Image.Image) -> Image.Image:
    """The first frame in 8 bits, as RGB or RGBA."""
    if image.mode.startswith("I"):  # 16 bits, or 32 that hold 16
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise _Unusable("its pixels are not whole numbers")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _placed(files: list[_File], asked: str) -> list[tuple[_File, str, str]]:
    """Each file with its split and class, as its folders say; files beside the class folders are ignored."""
    depth = 0  # folders above the class folders
    while True:
        inside = [file for file in files if len(file.path) > depth + 1]
        tops = {file.path[depth] for file in inside}
        deeper = any(len(file.path) > depth + 2 for file in inside)
        if len(tops) != 1 or not deeper:
            break
        depth += 1  # one folder around everything, as zips made from a folder have
    if not inside:
        raise ExplorerError(asked, "there are no class folders with pictures in it", "Make a folder for each class")
    names = {top.lower() for top in tops}
    if deeper and "train" in {SPLIT_FOLDERS.get(name) for name in names} and names <= SPLIT_FOLDERS.keys():
        inside = [file for file in inside if len(file.path) > depth + 2]
        return [(file, SPLIT_FOLDERS[file.path[depth].lower()], _shown(file.path[depth + 1])) for file in inside]
    return [(file, "train", _shown(file.path[depth])) for file in inside]


def _shown(name: str) -> str:
    """A folder's name as text that can be kept, even if its bytes were none."""
    return one_line(name.encode("utf-8", "replace").decode())[:60] or "?"


@contextmanager
def _files(source: Path | BinaryIO, asked: str) -> Iterator[list[_File]]:
    """The files of a folder or zip, with nothing of them read yet."""
    try:
        files = _of_folder(source, asked) if isinstance(source, Path) and source.is_dir() else None
    except OSError as error:
        raise ExplorerError(asked, f"the folder can't be read ({error})", "Choose another") from error
    if files is not None:
        yield files
        return
    if not isinstance(source, Path):
        limit = settings().limits.upload
        if source.seek(0, os.SEEK_END) > limit:
            raise ExplorerError(asked, f"the file is larger than {limit // MB} MB", "Bring fewer or smaller pictures")
        source.seek(0)
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, ValueError, NotImplementedError, struct.error, zipfile.BadZipFile) as error:
        wrong = "there is no such file or folder" if isinstance(error, FileNotFoundError) else "it is no whole zip"
        raise ExplorerError(asked, wrong, "Bring a zip of class folders") from error
    with archive:
        yield _of_zip(archive, asked)


def _of_folder(folder: Path, asked: str) -> list[_File]:
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if _wanted((name,)))
        for name in (*folders, *sorted(names)):
            path = Path(place, name)
            parts = path.relative_to(folder).parts
            if path.is_symlink():
                raise _refused(asked, "/".join(parts), "is a link")
            if name in folders or not _wanted(parts) or not path.is_file():
                continue
            files.append(_File(parts, path.stat().st_size, path.read_bytes))
            _check_number(len(files), asked)
    return files


def _of_zip(archive: zipfile.ZipFile, asked: str) -> list[_File]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    unpacked = sum(member.file_size for member in members)
    files = []
    for member in members:
        name = member.filename.replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or ".." in parts or ":" in name.split("/")[0]:
            raise _refused(asked, name, "leads outside the zip")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _refused(asked, name, "is a link")
        if member.flag_bits & 1:
            raise _refused(asked, name, "is locked with a password")
        if member.file_size > max(MB, RATIO * member.compress_size):
            raise _refused(asked, name, f"unpacks to {member.file_size // MB:,} MB, as bombs do")
        if parts and _wanted(parts):
            files.append(_File(parts, member.file_size, lambda member=member: archive.read(member)))
            _check_number(len(files), asked)
    if unpacked > max(MB, RATIO * _length(archive)):
        raise ExplorerError(asked, f"it unpacks to {unpacked // MB:,} MB, as bombs do", "Bring a plain zip of pictures")
    return sorted(files, key=lambda file: file.path)


def _length(archive: zipfile.ZipFile) -> int:
    """Bytes of the whole zip: members may claim the same ones many times over."""
    archive.fp.seek(0, os.SEEK_END)
    return archive.fp.tell()


def _wanted(parts: tuple[str, ...]) -> bool:
    return not any(part.startswith(".") or part.lower() in IGNORED for part in parts)


def _check_number(number: int, asked: str) -> None:
    limit = settings().limits.examples
    if number > limit:
        raise ExplorerError(asked, f"there are more than {limit:,} files", "Bring fewer")


def _refused(asked: str, name: str, wrong: str) -> ExplorerError:
    return ExplorerError(asked, f"{name!r} {wrong}", "Bring a plain zip or folder of class folders")
