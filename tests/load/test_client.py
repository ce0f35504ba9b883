"""Two tabs without a browser, on a real server: `pytest tests/load/test_client.py`"""

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from explorer.ui.price import ASKS
from tests.load.client import Session
from tests.load.server import serve

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_a_tab_sees_what_is_asked_first_and_begins_it():
    async def visit() -> list[list[str]]:
        seen = []
        with serve(EXPLORER_UNASKED="0") as server:
            async with Session(server.address, "attribution", patience=240) as session:
                while asks := session.asks():
                    seen.append(asks)
                    await session.press(asks[0])
            assert server.faults() == session.errors == []
        return seen

    with ThreadPoolExecutor(1) as pool:
        first, *_ = seen = pool.submit(asyncio.run, visit()).result()
    assert 2 <= len(seen) <= 10  # the maps, and then their measures
    assert all(key.startswith(ASKS) for key in first)


def test_two_tabs_move_a_control_each_and_nothing_goes_wrong():
    async def visit(address: str, page: str, key: str) -> Session:
        async with Session(address, page, patience=240) as session:
            before = session.values[session.widget(key).id]
            assert await session.move(session.widget(key), random.Random(0)) > 0
            assert session.values[session.widget(key).id] != before
            assert f"{key}=" in session.query  # in the URL, as in a browser
        return session

    async def both() -> list[Session]:
        with serve() as server:
            met = await asyncio.gather(
                visit(server.address, "models", "model"), visit(server.address, "attention", "see")
            )
            assert server.faults() == []
        return met

    with ThreadPoolExecutor(1) as pool:  # a browser of other tests has a loop in this thread
        models, attention = pool.submit(asyncio.run, both()).result()
    assert models.errors == attention.errors == []
    assert "Open a network" in models.words()
    assert "Who looks at whom?" in attention.words()
    assert models.cookie != attention.cookie  # two people
