"""The rows of the table: each starts a server, puts people before it, and tells what they met."""

import asyncio
import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from explorer.settings import MB
from explorer.ui.page import PAGES
from tests.load import browsers, hostility
from tests.load.client import PATIENCE, LostError, Session
from tests.load.server import Server, serve

PATHS = ["", *(page.path.removeprefix("pages/").removesuffix(".py") for page in PAGES[1:])]
EVERY = 3.0  # seconds between two moves of a person, on average
ARRIVE = 20.0  # seconds within which all come
LEAVES = 0.1  # how often a person goes to another page instead
AGREES = 0.25  # how often to what takes long, where a page asks first; a guess
LONG = "epochs=50&lenet_width=64&batch_size=1"  # a training that outlasts whatever is measured beside it
SHORT = "epochs=1"
KEPT = 125.0  # seconds: for two minutes Streamlit keeps what a closed tab had, in case it comes back
GATE = 4  # sessions that open at once, where opening is not what is measured
MORE = 4  # jobs beyond those that the queue takes


@dataclass(frozen=True)
class Options:
    """How much of everything."""

    sessions: int = 30
    seconds: float = 90.0  # of the moves, from when all have come
    browsers: int = 2
    controls: int = 4  # of each page, for one person
    closed: int = 100
    kept: float = KEPT
    cancels: int = 5
    jobs: int = 40
    hostile: int = 40  # links of each page
    patience: float = PATIENCE  # seconds after which no answer is a lost session
    seed: int = 0

    def tab(self, server: Server, page: str = "", query: str = "") -> Session:
        """A tab that is about to be opened."""
        return Session(server.address, page, query, patience=self.patience)


QUICK = Options(sessions=6, seconds=10.0, browsers=1, controls=1, closed=12, kept=0.0, cancels=1, jobs=6, hostile=2)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    measured: str
    target: str = ""
    errors: tuple[str, ...] = ()  # what went wrong; a target that was missed is no error


async def crowd(options: Options) -> list[Row]:
    """Many people on all pages, while one trains."""
    chance = random.Random(options.seed)
    with serve() as server:
        for path in PATHS:  # as a teacher does before the lesson
            async with options.tab(server, path):
                pass
        people = [Person(options.tab(server, PATHS[number % len(PATHS)]), chance.randrange(2**32))
                  for number in range(options.sessions)]  # fmt: skip
        end, within = asyncio.Event(), ARRIVE * min(1.0, options.sessions / 30)
        worked = server.worked()
        watched = asyncio.create_task(browsers.watch(server.address, options.browsers, end, EVERY, options.seed))
        trainer = options.tab(server, "training", LONG)
        training = asyncio.create_task(_train(trainer))
        lives = [asyncio.create_task(person.live(end, chance.uniform(0, within))) for person in people]
        await asyncio.gather(*(person.there.wait() for person in people))
        await asyncio.sleep(options.seconds)
        end.set()
        await asyncio.gather(*lives)
        seen = await watched
        lost = [str(training.exception())] if training.done() else []
        held, worked = server.memory(), server.worked() - worked
        training.cancel()
        await trainer.close()
        errors = [*(error for one in people for error in one.session.errors), *trainer.errors, *seen.errors]
        lost += [person.lost for person in people if person.lost]
        faults = server.faults()
    opened, moved, gone, agreed = ([one for person in people for one in getattr(person, what)]
                                   for what in ("opened", "moved", "gone", "agreed"))  # fmt: skip
    acts = len(moved) + len(gone) + len(agreed)
    pace = sum(person.stayed for person in people) / max(1, acts)
    slowest = {path: [one for p in people for one in p.at.get(path, ())] for path in PATHS}
    pages = ", ".join(f"{path} {_both(took)}" for path, took in slowest.items() if took)
    everybody = (
        f"{len(people)} sessions on all pages, each opened once before, a control every {pace:.1f} s each, one "
        "training running"
    )
    return [
        Row(f"{everybody}: errors, lost sessions", f"{len(errors) + len(faults)}, {len(lost)} ({len(moved):,} moves)",
            "0, 0", (*errors, *lost, *faults)),
        Row("there: first load, p50 / p95", _both(opened), "p95 ≤ 5 s"),
        Row("there: control → the page has run, p50 / p95", _both(moved), "≤ 0.2 s / ≤ 1 s"),
        Row("there: the same by page", pages),
        Row("there: to another page, p50 / p95", _both(gone)),
        Row("there: what takes long, and is begun by a button, p50 / p95",
            f"{_both(agreed)} ({len(agreed)}; {sum(person.asked for person in people)} moves ended at such a button)"),
        Row("there: the server's processor time, all of it, by move",
            f"{worked / max(1, acts + len(seen.drawn)):.2f} s"),
        Row(f"there: control → drawn in {options.browsers} Chromium, p50 / p95", _both(seen.drawn), "≤ 0.2 s / ≤ 1 s"),
        Row("server + worker afterwards (PSS)", f"{sum(held) / MB:,.0f} MB "
            f"({' + '.join(f'{part / MB:,.0f}' for part in held)})", "≤ 1.5 GB"),
    ]  # fmt: skip


class Person:
    """Somebody who opens a page, moves what can be moved, and looks at another page now and then."""

    def __init__(self, session: Session, seed: int) -> None:
        self.session, self.chance = session, random.Random(seed)
        self.opened: list[float] = []
        self.moved: list[float] = []
        self.gone: list[float] = []
        self.agreed: list[float] = []
        self.asked = 0  # moves after which the page asks before it goes on
        self.at: dict[str, list[float]] = {}  # page → seconds of its moves
        self.stayed = 0.0  # seconds
        self.lost = ""
        self.there = asyncio.Event()  # it has opened the page, or failed to

    async def live(self, end: asyncio.Event, late: float) -> None:
        """Come `late` seconds from now, and stay until the end."""
        try:
            await asyncio.sleep(late)
            self.opened.append(await self.session.open())
            self.there.set()
            due = came = time.perf_counter()
            while not end.is_set():
                due += self.chance.expovariate(1 / EVERY)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))  # where the last answer came late, at once
                await self._act()
                self.stayed = time.perf_counter() - came
        except LostError as error:
            self.lost = str(error)
        self.there.set()
        await self.session.close()

    async def _act(self) -> None:
        there, asks = self.session.movable(), self.session.asks()
        if not there or self.chance.random() < LEAVES:
            page = self.chance.choice([path for path in PATHS if path != self.session.page])
            self.gone.append(await self.session.go(page))
        elif asks and self.chance.random() < AGREES:
            self.agreed.append(await self.session.press(self.chance.choice(asks)))
        elif took := await self.session.move(self.chance.choice(there), self.chance):
            self.moved.append(took)
            self.asked += bool(self.session.asks())
            self.at.setdefault(self.session.page, []).append(took)


async def _train(session: Session) -> None:
    """Train, and again when that is over."""
    await session.open()
    while True:
        await _begin(session)
        await session.until(lambda session: not session.widget("stop"), math.inf)


async def _begin(session: Session) -> None:
    """Press Start, and see it learn."""
    await session.press("start")
    await session.until(lambda session: re.search(r"Epoch .* (s|min) left", session.words()) and session.button("stop"))


async def cached(options: Options) -> list[Row]:
    """One person, who moves controls to and fro."""
    chance = random.Random(options.seed)
    took: dict[str, list[float]] = {}
    errors: list[str] = []
    with serve() as server:
        for path in PATHS[1:]:
            async with options.tab(server, path) as session:
                controls = [one.id for one in session.movable()]
                for id in chance.sample(controls, min(options.controls, len(controls))):
                    took.setdefault(path, []).extend(await _to_and_fro(session, id, chance))
                errors += session.errors
        errors += server.faults()
    everything = [one for times in took.values() for one in times]
    pages = ", ".join(f"{path} {_both(times)}" for path, times in took.items())
    return [
        Row("one person, a control whose both values were seen before, p50 / p95", _both(everything), "p95 ≤ 0.1 s",
            tuple(errors)),
        Row("there: by page", pages),
    ]  # fmt: skip


async def _to_and_fro(session: Session, id: str, chance: random.Random, times: int = 5) -> list[float]:
    """Seconds of each move between two values, once both have been seen; fewer where the control goes away."""
    took: list[float] = []
    if id not in session.values:  # what was moved before has taken it away
        return []
    values = [session.values[id]]
    for turn in range(2 * times + 2):
        shown = next((one for one in session.movable() if one.id == id), None)
        if shown is None:
            break
        if turn == 0:
            took.append(await session.move(shown, chance))
            values.insert(0, session.values.get(id))
        else:
            took.append(await session.move(shown, to=values[(turn + 1) % 2]))
        if values[0] in (None, values[-1]):  # it can't be moved, or has been set back
            return []
    return took[2:]


async def closed(options: Options) -> list[Row]:
    """Many sessions that come and go."""
    errors: list[str] = []

    async def visit(path: str) -> None:
        try:
            async with options.tab(server, path) as session:
                errors.extend(session.errors)
        except LostError as error:
            errors.append(str(error))

    with serve() as server:
        for number in range(10):
            await visit(PATHS[number % len(PATHS)])
        first = server.memory()[0]
        await _gated(lambda number=number: visit(PATHS[number % len(PATHS)]) for number in range(10, options.closed))
        then = server.memory()[0]
        await asyncio.sleep(options.kept)
        await visit("")  # what is too old goes when somebody else comes
        last = server.memory()[0]
        errors += server.faults()
    return [
        Row(f"{options.closed} sessions opened and closed: memory (PSS) beyond that after the first 10",
            f"{(last - first) / MB:+,.0f} MB (at once {(then - first) / MB:+,.0f}; {first / MB:,.0f} after 10)",
            "≤ 50 MB", tuple(errors))
    ]  # fmt: skip


async def cancel(options: Options) -> list[Row]:
    """Stop a training, again and again."""
    told, free, errors = [], [], []
    with serve() as server:
        async with options.tab(server, "training", LONG) as session:
            for _ in range(options.cancels):
                await _begin(session)
                began = time.perf_counter()
                told.append(await session.press("stop"))
                if session.button("stop"):
                    errors.append("the button that stops can still be pressed")
                await session.until(lambda session: not session.widget("stop"))
                free.append(time.perf_counter() - began)
            errors += session.errors
        errors += server.faults()
    return [
        Row("cancel acknowledged / worker free, the slowest of " + str(options.cancels),
            f"{max(told):.2f} s / {max(free):.2f} s", "≤ 1 s / ≤ 5 s", tuple(errors))
    ]  # fmt: skip


async def queue(options: Options) -> list[Row]:
    """All press Start at once, while one trains; then some more do."""
    wrong: list[str] = []
    with serve(EXPLORER_QUEUE=str(options.jobs)) as server:
        people = [options.tab(server, "training", SHORT) for _ in range(options.jobs + MORE)]
        await _gated(person.open for person in people)
        accepted, refused = people[: options.jobs], people[options.jobs :]
        first = options.tab(server, "training", LONG)
        await first.open()
        await _begin(first)

        began = time.perf_counter()
        placed = asyncio.create_task(_placed(accepted, began))  # they read it before the page is whole
        answered = await asyncio.gather(*(person.press("start") for person in accepted))
        over = await asyncio.gather(*(person.press("start") for person in refused))
        wrong += [f"beyond the queue: {person.words()[:200]}" for person in refused
                  if "queue is full" not in person.words()]  # fmt: skip
        right = await placed

        began = time.perf_counter()
        await first.press("stop")
        for person in accepted:
            await person.until(lambda person: not person.widget("stop"), 600)
        took = time.perf_counter() - began
        done = [person for person in accepted if re.search(r"badge\[.*finished", person.words())]
        wrong += [error for person in (*people, first) for error in person.errors]
        wrong += [f"{len(accepted) - len(done)} of {len(accepted)} accepted jobs did not finish"] * (
            len(done) < len(accepted)
        )
        wrong += server.faults()
        for person in (*people, first):
            await person.close()
    return [
        Row(f"{options.jobs} jobs submitted at once: all positions shown, and right, after", f"{right:.1f} s", "≤ 2 s",
            tuple(wrong)),
        Row("there: Start → the page has run, p50 / p95", _both(answered)),
        Row(f"there: {MORE} more, refused with a sentence after", f"{max(over):.1f} s at most", "at once"),
        Row("there: accepted ones that finished", f"{len(done)} of {len(accepted)}, in {took:.0f} s", "all"),
    ]  # fmt: skip


async def _placed(people: Sequence[Session], began: float) -> float:
    """Seconds until everybody reads a place in the queue, and all places are there once."""
    for person in people:
        await person.until(_place)
    while sorted(map(_place, people)) != list(range(1, len(people) + 1)):
        await asyncio.sleep(0.02)
        if time.perf_counter() - began > 60:
            raise LostError(f"places in the queue: {sorted(map(_place, people))}")
    return time.perf_counter() - began


def _place(person: Session) -> int:
    """The place in the queue that a person reads; 0: none."""
    words = person.words()
    found = re.search(r"Waiting for a worker: (?:(it is next)|(\d+) before it)", words)
    return 0 if not found else 1 if found[1] else int(found[2]) + 1


async def hostile(options: Options) -> list[Row]:
    """What nobody should send: over the wire, and in files, names and recipes."""
    with serve() as server:
        sent = await hostility.strike(server.address, options.seed, options.hostile)
        async with options.tab(server, "training") as session:  # somebody else is served as ever
            ours = [what for what, own in server.raised() if own]
            badly = [one for one in sent if one.wrong]
            errors = [*session.errors, *ours, *(f"{one.name}: {one.wrong}" for one in badly if not one.forged)]
        if not server.process.is_running():
            errors.append("the server is gone")
    handed, wrong = await asyncio.to_thread(hostility.handed)
    return [
        Row("hostile frames, links, values and paths sent: answered without an exception, or the connection closed",
            f"{len(sent) - len(badly)} of {len(sent)}, {_slowest(sent)}; {sum(one.forged for one in badly)} are values "
            "of a kind that the widget can't have, which Streamlit refuses to read, in the sender's session alone",
            "all, ≤ 1 s each", tuple(errors)),
        Row("hostile files, names, recipes and reports handed over: refused with our exception, or harmless",
            f"{len(handed)} of {len(handed) + len(wrong)}, {_slowest(handed)}", "all, ≤ 1 s each", tuple(wrong)),
    ]  # fmt: skip


def _slowest(tried: Sequence[hostility.Tried]) -> str:
    return f"{sum(one.seconds > 1 for one in tried)} above 1 s, the slowest {max(one.seconds for one in tried):.2f} s"


ROWS: dict[str, Callable[[Options], Awaitable[list[Row]]]] = {
    row.__name__: row for row in (crowd, cached, closed, cancel, queue, hostile)
}


async def _gated(makes: Iterable[Callable[[], Awaitable[object]]]) -> None:
    gate = asyncio.Semaphore(GATE)

    async def one(make: Callable[[], Awaitable[object]]) -> None:
        async with gate:
            await make()

    await asyncio.gather(*map(one, makes))


def _both(seconds: Sequence[float]) -> str:
    """The median and the 95th percentile."""
    return f"{percentile(seconds, 0.5):.2f} s / {percentile(seconds, 0.95):.2f} s" if seconds else "–"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all don't exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
