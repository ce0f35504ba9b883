"""One browser tab without a browser: it speaks Streamlit's own protocol, and does with it what the browser does.

async with Session(address, "attention", "model=zoo:story-gpt") as session:
    seconds = await session.move(session.movable()[0], chance)
"""

import asyncio
import contextlib
import random
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from explorer.ui.price import ASKS
from tests.load import widgets

COOKIE = "_streamlit_xsrf"  # by which the explorer tells one person from another
PATIENCE = 60.0  # seconds after which whoever waits for an answer gives up, unless told otherwise
HEARTBEAT = "heartbeat"  # what is waited for, in place of a fragment
AGAIN = 0.1  # seconds between two questions whether the server is there
DONE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)
TEXTS = ("body", "text", "label")  # fields that a person reads

Path = tuple[int, ...]  # where an element stands: the root, its block, the block in that …


class LostError(Exception):
    """The server went away, or said nothing for too long."""


@dataclass(eq=False)
class Shown:
    """An element on the page."""

    element: Element
    run: str  # the run of the script that drew it
    fragment: str  # "" outside of all

    @property
    def id(self) -> str:
        """Of its widget; "" where it is none."""
        return getattr(getattr(self.element, self.element.WhichOneof("type") or "empty"), "id", "")


@dataclass(eq=False)
class _Asked:
    """A run that somebody waits for."""

    fragment: str
    at: float
    over: asyncio.Future[float]
    early: float = 0.0  # when it ended to make room for another run, in the server's words; 0: it hasn't


@dataclass(eq=False)
class Session:
    """A person's tab: what it shows, where its widgets stand, and what went wrong in it."""

    address: str  # of the server
    page: str = ""  # its path in the URL; "" is Home
    query: str = ""
    cookie: str = ""  # of the browser; "": a new one
    patience: float = PATIENCE  # seconds that an answer may take
    shown: dict[Path, Shown] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)  # of widgets, by id
    pages: dict[str, str] = field(default_factory=dict)  # path → hash
    errors: list[str] = field(default_factory=list)
    refusals: int = 0  # sentences in a red box, which are no errors
    received: int = 0  # bytes

    def __post_init__(self) -> None:
        self._hash = self._run = ""
        self._ages = 2  # runs for which the browser keeps a message
        self._runs = 0
        self._begun: dict[str, tuple[float, tuple[str, ...]]] = {}  # run → when it was announced, its fragments
        self._kept: dict[str, tuple[Delta, int]] = {}  # large messages by hash, and the run in which they came
        self._asked: list[_Asked] = []
        self._clocks: dict[str, tuple[float, asyncio.Task]] = {}  # fragment → every how many seconds it runs again
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task | None = None

    async def __aenter__(self) -> "Session":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # What a person does

    async def open(self) -> float:
        """Open the page; seconds until all of it is there."""
        began = time.perf_counter()
        await self.connect()
        self._send(self._state(page_name=self.page))
        await self._answer("", began)
        return time.perf_counter() - began

    async def connect(self) -> None:
        """Say hello, and ask for nothing yet."""
        self.cookie = self.cookie or await asyncio.to_thread(cookie, self.address)
        self._socket = await connect(
            self.address.replace("http", "ws", 1) + "/_stcore/stream", origin=self.address, proxy=None,
            subprotocols=["streamlit", self.cookie], additional_headers={"Cookie": f"{COOKIE}={self.cookie}"},
            max_size=None, ping_interval=None, open_timeout=self.patience, close_timeout=1,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())

    async def move(self, shown: Shown, chance: random.Random | None = None, to: Any = None) -> float:
        """Set a widget to another value, by chance or to a given one; seconds until the server has drawn all of it."""
        value = widgets.another(shown.element, self.values[shown.id], chance) if chance else to
        if value is None:
            return 0.0
        self._set(shown.element, value)
        return await self._rerun(shown.fragment)

    async def press(self, key: str) -> float:
        """Press the button of a key; seconds until the server has drawn what comes of it."""
        shown = self.button(key)
        if shown is None:
            raise LookupError(f"no button {key!r} on /{self.page}?{self.query}")
        return await self._rerun(shown.fragment, shown.id)

    async def go(self, page: str) -> float:
        """Follow the link to another page; seconds until all of it is there."""
        self.page, self.query = page, ""
        self._stop_clocks()
        self.shown.clear()
        began = time.perf_counter()
        self._send(self._state(page_script_hash=self.pages[page]))
        return await self._answer("", began)

    async def close(self) -> None:
        """Close the tab."""
        self._stop_clocks()
        reader, self._reader = self._reader, None
        if reader:
            reader.cancel()
        if self._socket:
            await self._socket.close()

    # What a person sees

    def movable(self) -> list[Shown]:
        """The widgets that a person could move now."""
        return [one for one in self.shown.values() if widgets.movable(one.element)]

    def asks(self) -> list[str]:
        """The keys of the buttons that begin what takes long."""
        keys = ("".join(one.id.split("-", 2)[2:]) for one in self.shown.values())
        return [key for key in keys if key.startswith(ASKS) and self.button(key)]

    def widget(self, key: str) -> Shown | None:
        """The widget that the page gave that key."""
        return next((one for one in self.shown.values() if one.id.split("-", 2)[2:] == [key]), None)

    def button(self, key: str) -> Shown | None:
        """The button that the page gave that key, where it can be pressed."""
        found = self.widget(key)
        return found if found and found.element.HasField("button") and not found.element.button.disabled else None

    def words(self) -> str:
        """All that can be read, a line each."""
        return "\n".join(_read_out(self.shown.values()))

    async def until(self, seen: Callable[["Session"], Any], seconds: float | None = None) -> float:
        """Wait for what the page draws by itself, until `seen(session)` is true of it; seconds that it took."""
        began, seconds = time.perf_counter(), seconds or self.patience
        while not seen(self):
            if time.perf_counter() - began > seconds:
                raise LostError(f"/{self.page}?{self.query} did not show it within {seconds:.0f} s")
            self._alive()
            await asyncio.sleep(0.02)
        return time.perf_counter() - began

    async def heartbeat(self, seconds: float = PATIENCE) -> float:
        """Ask whether the server is there; seconds until it said so.

        It is asked again and again: an answer that has not been sent when a run of the page begins is dropped
        (Streamlit 1.67, `AppSession._clear_queue`).
        """
        future = self._wait(HEARTBEAT)

        async def ask() -> None:
            with contextlib.suppress(LostError):  # the reader tells of it
                while True:
                    self._send(BackMsg(app_heartbeat=True))
                    await asyncio.sleep(AGAIN)

        asking = asyncio.create_task(ask())
        try:
            return await self._within(future, seconds)
        finally:
            asking.cancel()

    # What goes to the server

    async def send(self, message: BackMsg, seconds: float = PATIENCE) -> float:
        """Send any message that asks for a run of the page; seconds until it has ended."""
        self._send(message)
        return await self._answer("", time.perf_counter(), seconds)

    def raw(self, data: bytes | str) -> asyncio.Task:
        """Send anything."""
        sent = asyncio.create_task(self._socket.send(data))
        sent.add_done_callback(lambda sent: sent.cancelled() or sent.exception())  # of a loss the reader tells
        return sent

    async def _rerun(self, fragment: str = "", trigger: str = "") -> float:
        began = time.perf_counter()
        self._send(self._state(trigger, page_script_hash=self._hash, fragment_id=fragment))
        return await self._answer(fragment, began)

    def _state(self, trigger: str = "", **about: Any) -> BackMsg:
        """What the browser sends to have the page run: all widgets that are on it, where it is, what it still has."""
        state = ClientState(query_string=self.query, cached_message_hashes=list(self._kept), **about)
        state.context_info.timezone = "UTC"
        state.context_info.locale = "en-GB"
        state.context_info.url = f"{self.address}/{self.page}"
        state.context_info.color_scheme = "light"
        for one in self.shown.values():
            if one.id and (value := self.values.get(one.id)) is not None:
                told = state.widget_states.widgets.add(id=one.id)
                place = widgets.field(one.element)
                if isinstance(value, list):
                    getattr(told, place).data.extend(value)
                    getattr(told, place).SetInParent()
                else:
                    setattr(told, place, value)
        if trigger:
            state.widget_states.widgets.add(id=trigger, trigger_value=True)
        return BackMsg(rerun_script=state)

    def _set(self, element: Element, value: Any) -> None:
        widget = getattr(element, widgets.kind(element))
        self.values[widget.id] = value
        if widget.query_param_key:
            query = parse_qs(self.query, keep_blank_values=True)
            query[widget.query_param_key] = widgets.in_url(element, value)
            self.query = urlencode(query, doseq=True)

    def _send(self, message: BackMsg) -> None:
        self._alive()
        self.raw(message.SerializeToString())

    async def _answer(self, fragment: str, began: float, seconds: float | None = None) -> float:
        return await self._within(self._wait(fragment), seconds or self.patience, began)

    def _wait(self, fragment: str) -> asyncio.Future[float]:
        asked = _Asked(fragment, time.perf_counter(), asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        return asked.over

    async def _within(self, over: asyncio.Future[float], seconds: float, began: float | None = None) -> float:
        began = time.perf_counter() if began is None else began
        try:
            return await asyncio.wait_for(over, seconds) - began
        except TimeoutError:
            self._asked = [asked for asked in self._asked if asked.over is not over]
            raise LostError(f"no answer within {seconds:.0f} s from /{self.page}?{self.query}") from None

    def _alive(self) -> None:
        if self._reader is None or self._reader.done():
            raise LostError(f"the connection to /{self.page} was closed")

    # What comes from the server

    async def _read(self) -> None:
        try:
            async for data in self._socket:
                self.received += len(data)
                self._take(ForwardMsg.FromString(data))
        except ConnectionClosed:
            pass
        self._stop_clocks()
        for asked in self._asked:
            if not asked.over.done():
                asked.over.set_exception(LostError(f"the connection to /{self.page} was closed"))

    def _take(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "delta":
                self._keep(message)
                self._draw(tuple(message.metadata.delta_path), message.delta)
            case "ref_hash":
                self._draw(tuple(message.metadata.delta_path), self._kept[message.ref_hash][0])
            case "new_session":
                self._begin(message)
            case "script_finished":
                self._end(message)
            case "navigation":
                self._hash = message.navigation.page_script_hash
                self.pages = {"" if page.is_default else page.url_pathname: page.page_script_hash
                              for page in message.navigation.app_pages}  # fmt: skip
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "auto_rerun":
                self._clock(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._stop_clock(fragment)
            case "page_not_found":
                self._wrong("page not found")
            case "session_event" if message.session_event.HasField("script_compilation_exception"):
                self._wrong(message.session_event.script_compilation_exception.message)
            case "heartbeat_ack":
                self._answered(lambda asked: asked.fragment == HEARTBEAT)

    def _begin(self, message: ForwardMsg) -> None:
        run, session = message.metadata.run, message.new_session
        self._run = run.script_run_id
        self._begun[self._run] = time.perf_counter(), tuple(run.fragment_ids)
        for (
            asked
        ) in self._asked:  # one that was over is told to be early, where another fragment's run had begun by then
            if asked.early and run.fragment_ids and asked.fragment not in run.fragment_ids:
                asked.over.set_result(asked.early)
            asked.early = 0.0
        self._asked = [asked for asked in self._asked if not asked.over.done()]
        if not run.fragment_ids:
            self._stop_clocks()
            self._hash = session.page_script_hash or self._hash
            self._ages = session.config.max_cached_message_age

    def _draw(self, path: Path, delta: Delta) -> None:
        match delta.WhichOneof("type"):
            case "new_element":
                self.shown[path] = shown = Shown(delta.new_element, self._run, delta.fragment_id)
                self._look(shown)
            case "new_transient":  # a spinner, which goes by itself
                for element in delta.new_transient.elements:
                    self._look(Shown(element, self._run, delta.fragment_id))
            case "add_block":
                self.shown.pop(path, None)

    def _look(self, shown: Shown) -> None:
        element = shown.element
        if element.HasField("exception"):
            self._wrong(f"{element.exception.type}: {element.exception.message}")
        elif element.HasField("alert"):
            self.refusals += element.alert.format == Alert.ERROR
        elif (name := widgets.kind(element)) and (getattr(element, name).set_value or shown.id not in self.values):
            self.values[shown.id] = widgets.start(element)

    def _end(self, message: ForwardMsg) -> None:
        run = message.metadata.run.script_run_id
        began, fragments = self._begun.pop(run, (0.0, ()))
        if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            for asked in self._asked:
                if began >= asked.at and asked.fragment in fragments:
                    asked.early = time.perf_counter()
        if message.script_finished not in DONE or not began:
            return
        self._runs += 1
        for path, one in list(self.shown.items()):  # what this run did not draw again is gone
            if one.run != run and (not fragments or one.fragment in fragments):
                del self.shown[path]
        self._kept = {hash: (delta, came) for hash, (delta, came) in self._kept.items()
                      if self._runs - came <= self._ages or (fragments and delta.fragment_id not in fragments)
                     }  # fmt: skip
        there = {one.id for one in self.shown.values()}
        self.values = {id: value for id, value in self.values.items() if id in there}
        self._answered(lambda asked: asked.fragment != HEARTBEAT and began >= asked.at
                       and (not fragments or asked.fragment in fragments))  # fmt: skip

    def _answered(self, fits: Callable[[_Asked], bool]) -> None:
        for asked in [asked for asked in self._asked if fits(asked)]:
            self._asked.remove(asked)
            if not asked.over.done():
                asked.over.set_result(time.perf_counter())

    def _keep(self, message: ForwardMsg) -> None:
        if message.metadata.cacheable:
            self._kept.setdefault(message.hash, (message.delta, self._runs))

    def _wrong(self, what: str) -> None:
        self.errors.append(f"/{self.page}?{self.query}: {what}")

    def _clock(self, fragment: str, interval: float) -> None:
        """Have a fragment run again and again, from now on, as the browser does."""
        if self._clocks.get(fragment, (None,))[0] != interval:
            self._stop_clock(fragment)
            self._clocks[fragment] = interval, asyncio.create_task(self._tick(fragment, interval))

    async def _tick(self, fragment: str, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            self._send(self._state(page_script_hash=self._hash, fragment_id=fragment, is_auto_rerun=True))

    def _stop_clock(self, fragment: str) -> None:
        if fragment in self._clocks:
            self._clocks.pop(fragment)[1].cancel()

    def _stop_clocks(self) -> None:
        for fragment in list(self._clocks):
            self._stop_clock(fragment)


def cookie(address: str) -> str:
    """The token that the server gives a browser it has not seen."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{address}/_stcore/health") as answer:
        return SimpleCookie(answer.headers["Set-Cookie"])[COOKIE].value


def _read_out(shown: Iterable[Shown]) -> Iterator[str]:
    for one in shown:
        told = getattr(one.element, one.element.WhichOneof("type") or "empty")
        yield from (text for name in TEXTS if isinstance(text := getattr(told, name, ""), str) and text)
