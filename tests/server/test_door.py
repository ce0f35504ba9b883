"""Who gets into the teacher's view: python -m pytest tests/server/test_door.py"""

import subprocess
import sys

import pytest

from explorer import settings as machine
from explorer.errors import ExplorerError
from explorer.server import door
from explorer.settings import settings

TOKEN = "correct horse"


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A server with a token, where nobody has tried yet; the test turns the clock: clock[0] = seconds."""
    monkeypatch.setenv("EXPLORER_TEACHER", TOKEN)
    settings.cache_clear()
    now = [1000.0]
    monkeypatch.setattr(door.time, "monotonic", lambda: now[0])
    door._wrong.clear()
    yield now
    door._wrong.clear()


def refused(said, before=0, match="not its token"):
    with pytest.raises(ExplorerError, match=match) as error:
        door.check(said, before)
    assert isinstance(error.value, door.WrongTokenError) == (match == "not its token")  # only these count
    assert TOKEN not in str(error.value)


def test_the_token_opens_and_nothing_else():
    door.check(TOKEN, 0)
    for said in ("", "correct", TOKEN + " ", TOKEN.upper(), "é" * 13):
        refused(said)
    door.check(TOKEN, 4)


def test_tokens_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(door.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or False)
    refused(TOKEN)
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


def test_a_session_has_five_tries():
    refused(TOKEN, 5, "5 tries were wrong")


def test_many_sessions_have_thirty_in_a_minute_and_then_again(clock):
    for _ in range(30):
        refused("a guess")
        clock[0] += 1
    refused(TOKEN, 0, "Try again in 30 s")
    clock[0] = 1000 + door.WINDOW + 1
    door.check(TOKEN, 0)


def test_without_a_token_nothing_opens(monkeypatch):
    monkeypatch.delenv("EXPLORER_TEACHER")
    settings.cache_clear()
    refused("", 0, "switched off")


def test_a_short_token_is_refused_at_the_start_without_being_told(tmp_path):
    environment = {"EXPLORER_DATA": str(tmp_path)}
    for token in ("a", "2shrt!!"):
        with pytest.raises(ExplorerError, match="fewer than 8 characters") as error:
            machine.read(environment | {"EXPLORER_TEACHER": token})
        assert "2shrt" not in str(error.value)
    assert machine.read(environment | {"EXPLORER_TEACHER": "12345678"}).teacher == "12345678"
    assert machine.read(environment).teacher == ""
    code = "from explorer.settings import settings; print(settings())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert TOKEN not in shown
