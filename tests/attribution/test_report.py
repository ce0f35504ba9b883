"""The report is one file that needs nothing and trusts nobody: python -m pytest tests/attribution/test_report.py"""

from html.parser import HTMLParser

import pytest

from explorer import attribution, data, zoo
from explorer.attribution.measures import measure
from explorer.attribution.report import report

LINK = "https://explorer.example/attribution?model=zoo%3Ashapes-resnet&example=0"
METHODS = ("grad_cam", "smoothgrad", "random")


class Reader(HTMLParser):
    """Collects tags, addresses and text, and checks that what opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.addresses, self.words, self.open = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, words):
        self.words.append(words)


@pytest.fixture(scope="module")
def arena():
    model = zoo.load("zoo:shapes-resnet")
    scenes = data.load("shapes", "test")
    with attribution.open_case(model, scenes.x[0]) as case:
        maps = [attribution.explain(case, name) for name in METHODS]
        rows = [{"method": one.method, **measure(case, one, scenes.masks[0], repeats=0).values} for one in maps]
    return maps, model.labels, rows


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return reader


def test_everything_is_in_it_and_nothing_is_fetched(arena):
    maps, labels, rows = arena
    page = read(report("What speaks for a cross?", maps, labels, rows, LINK))
    words = " ".join(page.words)
    assert page.tags.count("img") == len(METHODS) + 1
    assert page.addresses[-1] == LINK
    assert all(address.startswith("data:image/png") for address in page.addresses[:-1])
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    for needed in ("Grad-CAM", "SmoothGrad", "Random", "deletion ↓", "overlap ↑", "Selvaraju", "samples 16", "torch "):
        assert needed in words
    assert f"{rows[0]['deletion']:.2f}" in words


def test_other_peoples_words_are_only_words(arena):
    maps, labels, rows = arena
    hostile = '<img src=x onerror=alert(1)>"&'
    changed = [hostile if index == maps[0].target else label for index, label in enumerate(labels)]
    bad_rows = [{**row, "method": hostile} for row in rows]
    page = read(report(hostile, maps, changed, bad_rows, "javascript:alert(1)", notes=hostile))
    assert page.tags.count("img") == len(METHODS) + 1
    assert "javascript:alert(1)" not in page.addresses
    assert sum(hostile in words for words in page.words) >= 4


def test_a_measure_that_could_not_be_taken_is_a_dash(arena):
    maps, labels, rows = arena
    gaps = [{**row, "mass": float("nan")} for row in rows[:1]] + rows[1:]
    assert "–" in read(report("Title", maps, labels, gaps, LINK)).words
    assert "mass" not in " ".join(read(report("Title", maps, labels, [{"method": "a"}], "")).words)
