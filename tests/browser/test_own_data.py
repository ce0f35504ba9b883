"""A person's own pictures and points, brought in a real browser: `pytest tests/browser/test_own_data.py`."""

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_journey import result, start

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def training(server):
    """The address of the Training page."""
    return f"{server}/training"


def bring(page: Page, name: str, content: bytes) -> None:
    expect(page.get_by_text("Test split:")).to_be_visible(timeout=120_000)
    page.get_by_text("Your own data").click()
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    expect(page.get_by_text(name)).to_be_visible()
    page.get_by_role("button", name="Add this data").click()


def class_folders(count: int) -> bytes:
    """A zip of dark and light pictures in two class folders."""
    rng, archive = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, mean in (("dark", 60), ("light", 190)):
            for index in range(count):
                picture = io.BytesIO()
                pixels = rng.normal(mean, 20, (40, 50, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(picture, "PNG")
                file.writestr(f"{name}/{index}.png", picture.getvalue())
    return archive.getvalue()


def test_a_zip_of_class_folders_is_trained_on_and_its_link_opens_elsewhere(training, open_page):
    page = open_page(f"{training}?epochs=5&batch_size=16&own_side=32")
    bring(page, "lamps.zip", class_folders(40))
    page.wait_for_url(re.compile("data=own"))
    expect(page.get_by_text("80 pictures of 2 classes")).to_be_visible()
    start(page)
    assert float(re.search(r"([\d.]+)%", result(page))[1]) > 90
    other = open_page(page.url)
    expect(other.get_by_text("80 pictures of 2 classes")).to_be_visible()
    assert result(other) == result(page)


def test_points_from_a_csv_show_what_the_network_answers_everywhere(training, open_page):
    page = open_page(f"{training}?epochs=30&batch_size=16")
    rng = np.random.default_rng(0)
    rows = [f"{x:.3f},{y:.3f},{'left' if x < 0 else 'right'}" for x, y in rng.uniform(-1, 1, (200, 2))]
    bring(page, "sides.csv", "\n".join(rows).encode())
    page.wait_for_url(re.compile("data=own"))
    start(page)
    assert float(re.search(r"([\d.]+)%", result(page))[1]) > 80
    expect(page.get_by_text("What it answers everywhere")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.zip", b"PK no zip at all", "zip"),
        ("one.zip", None, "class"),
        ("letters.csv", b"1,2,a\nx,y,b\n", "line 2"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence_and_nothing_is_lost(training, open_page, name, content, words):
    if content is None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            picture = io.BytesIO()
            Image.new("RGB", (8, 8)).save(picture, "PNG")
            for index in range(4):
                file.writestr(f"only/{index}.png", picture.getvalue())
        content = archive.getvalue()
    page = open_page(f"{training}?epochs=7")
    bring(page, name, content)
    expect(page.get_by_test_id("stAlert").first).to_contain_text(words)
    assert page.get_by_test_id("stException").count() == 0
    assert "epochs=7" in page.url
    assert "right" in result(page)
