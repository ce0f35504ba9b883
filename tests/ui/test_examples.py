"""Pictures that a person brings: python -m pytest tests/ui/test_examples.py"""

import io
import struct
import zlib
from types import SimpleNamespace

import pytest
from PIL import Image

from explorer.errors import ExplorerError
from explorer.ui.examples import opened
from explorer.ui.person import token


def upload(content: bytes) -> SimpleNamespace:
    return SimpleNamespace(name="mine.png", getvalue=lambda: content)


def png(width: int, height: int) -> bytes:
    """The header of a picture of that size, with no pixels behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
    )


def test_a_picture_is_opened():
    content = io.BytesIO()
    Image.new("RGB", (5, 3), "red").save(content, "PNG")
    picture = opened(upload(content.getvalue()))
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
    from explorer.settings import settings

    monkeypatch.setenv("EXPLORER_MODE", "cpu")
    settings.cache_clear()
    with pytest.raises(ExplorerError, match=words):
        opened(upload(content))


def test_a_browsers_token_is_the_same_however_it_is_masked():
    one, other = "2|00000000|a1b2c3d4e5f60718|17", "2|01020304|a0b0c0d0e4f4041c|99"
    assert token(one) == token(other) == bytes.fromhex("a1b2c3d4e5f60718")
    assert token("") is None
    assert token("2|zz|11|1") is None
