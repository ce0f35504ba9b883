"""A teacher looks after a shared server from a browser: `pytest tests/browser/test_teacher.py`"""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_journey import TRAINED, expect_state, start

pytestmark = pytest.mark.browser

TOKEN = "correct horse"


@pytest.fixture(scope="module")
def shared(serve):
    """The address of a shared server with a teacher's token."""
    return serve(EXPLORER_SHARED="1", EXPLORER_MODE="cpu-tiny", EXPLORER_TEACHER=TOKEN)


def enter(page, token):
    page.get_by_label("Token").fill(token, timeout=TRAINED)
    page.get_by_role("button", name="Enter").click(timeout=TRAINED)


def test_the_teacher_stops_a_run_and_its_owner_sees_it_paused(shared, open_page):
    anna = open_page(f"{shared}/training?epochs=50&lenet_width=64&batch_size=8")
    start(anna)
    teacher = open_page(f"{shared}/server")
    enter(teacher, "a guess")
    expect(teacher.get_by_text("that is not its token")).to_be_visible(timeout=TRAINED)
    enter(teacher, TOKEN)
    expect(teacher.get_by_text(re.compile("2 pages open by 2 people"))).to_be_visible(timeout=TRAINED)
    assert "horse" not in teacher.url
    expect(teacher.get_by_text(re.compile("training · task · running for"))).to_be_visible(timeout=TRAINED)
    teacher.locator("[class*=st-key-stop-] button").first.click(timeout=TRAINED)
    expect_state(anna, "paused")
    expect(teacher.get_by_text("Nothing runs, and nobody waits.")).to_be_visible(timeout=TRAINED)


def test_a_person_sees_deletes_and_opens_what_is_theirs_alone(shared, open_page):
    anna = open_page(f"{shared}/training?epochs=1")
    start(anna)
    expect_state(anna, "finished")
    run = anna.url
    anna.goto(f"{shared}/server")
    expect(anna.get_by_text(re.compile("1 of 60 runs"))).to_be_visible(timeout=TRAINED)
    ben = open_page(f"{shared}/server")
    expect(ben.get_by_text("Nothing yet")).to_be_visible(timeout=TRAINED)
    anna.get_by_label("To delete").click(timeout=TRAINED)
    anna.get_by_role("option").first.click()
    anna.keyboard.press("Escape")
    anna.get_by_role("button", name="Delete for good").click()
    expect(anna.get_by_text("Nothing yet")).to_be_visible(timeout=TRAINED)
    anna.goto(run)
    expect(anna.get_by_text("none of that id")).to_be_visible(timeout=TRAINED)
