"""Files that a person brings, as the pages take them in: python -m pytest tests/ui/test_uploads.py"""

import ast
import io
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from explorer.data import picture
from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.store import weight
from explorer.ui import uploads
from tests.test_pages import always_inside_app, open_app, texts  # noqa: F401 - the fixture

ROOT = Path(__file__).parents[2]
TAKING = {"file_uploader", "camera_input", "audio_input", "chat_input", "data_editor"}  # of Streamlit


def upload(content: bytes, name: str = "mine.png") -> SimpleNamespace:
    return SimpleNamespace(name=name, getvalue=lambda: content)


def opened(content: bytes) -> Image.Image:
    return uploads.Brought(upload(content)).image


def png(width: int, height: int) -> bytes:
    """The header of a picture of that size, with no pixels behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
    )


def saved(picture: Image.Image, kind: str = "PNG", **about) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **about)
    return file.getvalue()


def test_a_picture_is_opened():
    picture = opened(saved(Image.new("RGB", (5, 3), "red")))
    assert picture.size == (5, 3)
    assert picture.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a picture"),
        (b"hello", "not a picture"),
        (png(30_000, 30_000), "more than 60,000,000 pixels"),
        (png(9_000, 9_000), "more than 60,000,000 pixels"),
        (png(90, 90), "not a picture"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused(content, words, monkeypatch):
    monkeypatch.setenv("EXPLORER_MODE", "cpu")
    settings.cache_clear()
    with pytest.raises(ExplorerError, match=words):
        opened(content)


@pytest.mark.parametrize(
    ("page", "key", "about", "kept"),
    [
        ("models", "picture", {"model": "zoo:digits-lenet"}, "Its answer"),
        ("attribution", "picture", {"model": "zoo:digits-lenet", "methods": "saliency"}, "What the network sees"),
        ("activations", "picture", {"model": "zoo:digits-lenet"}, "ReLU"),
        ("attention", "picture", {"model": "zoo:shapes-vit"}, "What it takes the picture for"),
        ("diffusion", "example-upload", {"model": "zoo:digits-diffusion", "view": "Into noise"}, "a real 9"),
    ],
)
def test_a_file_that_is_no_picture_is_told_and_the_page_keeps_its_example(page, key, about, kept):
    app = open_app(f"pages/{page}.py", **about)
    assert kept in texts(app)
    app.file_uploader(key=key).set_value(("mine.png", b"hello", "image/png")).run()
    assert ["not a picture" in error.value for error in app.error] == [True]
    assert kept in texts(app)
    app.file_uploader(key=key).set_value(("mine.png", saved(Image.new("RGB", (9, 7), "red")), "image/png")).run()
    assert not app.error
    assert not app.exception


def test_of_a_picture_only_its_pixels_are_left():
    place = Image.Exif()
    place[0x010E] = "where I live"
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "where I live")
    for content in (
        saved(Image.new("RGB", (4, 4), "blue"), "JPEG", exif=place, comment=b"where I live"),
        saved(Image.new("RGB", (4, 4), "blue"), "PNG", pnginfo=note, exif=place),
    ):
        picture = opened(content)
        assert picture.info == {}
        assert not picture.getexif()
        assert b"where I live" not in saved(picture) + saved(picture, "JPEG")


def test_a_picture_is_turned_made_smaller_and_its_first_frame_taken():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert opened(saved(Image.new("RGB", (8, 4)), "JPEG", exif=exif)).size == (4, 8)
    assert max(opened(saved(Image.new("L", (3000, 10)))).size) == 2048
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    found = uploads.Brought(upload(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    assert found.moves
    assert found.image.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_a_size_that_a_browser_should_have_refused_is_refused_here(monkeypatch):
    monkeypatch.setenv("EXPLORER_UPLOAD", "1000")
    settings.cache_clear()
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    with pytest.raises(ExplorerError, match="larger than"):
        opened(saved(Image.fromarray(noise)))
    with pytest.raises(ExplorerError, match="larger than"):
        uploads.content_of(upload(b"1,2,A\n" * 1000, "points.csv"))


def test_the_name_of_a_file_is_one_line_of_letters():
    assert uploads.name_of(upload(b"", "a\u202egnp.exe\n\0b\x1b[31m.png")) == "a gnp.exe b [31m.png"
    assert len(uploads.name_of(upload(b"", "x" * 10_000 + ".png"))) == uploads.NAME
    assert uploads.name_of(upload(b"", "\u200b")) == "Your file"


def test_files_come_in_at_one_place():
    places = {
        path.relative_to(ROOT).as_posix()
        for folder in ("explorer", "pages")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in TAKING
    }
    assert places == {"explorer/ui/uploads.py"}


def test_a_photograph_far_larger_than_needed_is_not_unpacked_whole(monkeypatch):
    small = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    photograph = Image.fromarray(small).resize((6000, 4000), Image.Resampling.BICUBIC)
    content, sizes = saved(photograph, "JPEG", quality=95), []
    turn = ImageOps.exif_transpose
    monkeypatch.setattr(ImageOps, "exif_transpose", lambda one: sizes.append(one.size) or turn(one))
    found = opened(content)
    assert sizes == [(3000, 2000)]
    assert max(found.size) == 2048
    whole = photograph.resize(found.size, Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(found, float) - np.asarray(whole, float)).mean() < 2


def test_a_file_is_read_once_for_all_who_bring_it(monkeypatch):
    read = []
    plain = uploads.read_picture
    monkeypatch.setattr(uploads, "read_picture", lambda *args: read.append(args[1]) or plain(*args))
    content = saved(Image.new("RGB", (5, 3), "navy"))
    first, second = uploads.Brought(upload(content, "a.png")), uploads.Brought(upload(content, "b.png"))
    assert (first.name, second.name, read) == ("a.png", "b.png", ["a.png"])
    assert first.image is second.image
    assert weight(picture.read_picture(content, "c.png")) == 5 * 3 * 3


def test_numbers_of_any_range_are_seen_from_black_to_white():
    floats = Image.fromarray(np.array([[0, 0.5, 2.0, np.nan]], dtype=np.float32))
    assert np.asarray(opened(saved(floats, "TIFF"))).tolist() == [[0, 64, 255, 0]]
    deep = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert np.asarray(opened(saved(deep))).tolist() == [[0, 128, 255]]
