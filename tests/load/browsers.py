"""A few real browsers among the sessions: from the click to what is drawn."""

import asyncio
import random
from dataclasses import dataclass, field

from playwright.async_api import Error, Page, async_playwright

from tests.browser.conftest import PATIENCE, QUIET
from tests.browser.find import browser

PATHS = ("attention", "activations", "training")
CONTROLS = "[data-testid=stButtonGroup] button:not([aria-label^=Help]), [data-testid=stCheckbox] input"
SETTLED = "[data-testid=stApp][data-test-script-state=notRunning]"
DRAWN = """(control) => new Promise((resolve, reject) => {
    const app = document.querySelector('[data-testid=stApp]')
    const state = () => app.getAttribute('data-test-script-state')
    const began = performance.now()
    let ran = false
    const look = () => {
        if (state() !== 'notRunning') ran = true
        else if (ran && !document.querySelector('[data-stale=true]')) {
            watch.disconnect()
            requestAnimationFrame(() => requestAnimationFrame(() => resolve((performance.now() - began) / 1000)))
        }
    }
    const watch = new MutationObserver(look)
    watch.observe(app, {attributes: true, subtree: true, attributeFilter: ['data-test-script-state', 'data-stale']})
    setTimeout(() => { watch.disconnect(); reject(new Error(ran ? 'it does not end' : 'nothing ran')) }, 60000)
    control.click()
})"""  # a click in the page itself: from there to the second frame after the run, with nothing stale left


@dataclass
class Seen:
    """What the browsers met."""

    drawn: list[float] = field(default_factory=list)  # seconds from a click
    errors: list[str] = field(default_factory=list)


async def watch(address: str, count: int, end: asyncio.Event, every: float, seed: int) -> Seen:
    """Have `count` browsers open a page each, and click a control every so many seconds until the end."""
    seen = Seen()
    if not count:
        return seen
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=browser(), args=QUIET)
        await asyncio.gather(*(_click(chromium, f"{address}/{PATHS[number % len(PATHS)]}", end, every,
                                      random.Random(seed + number), seen) for number in range(count)))  # fmt: skip
        await chromium.close()
    return seen


async def _click(chromium, address: str, end: asyncio.Event, every: float, chance: random.Random, seen: Seen) -> None:
    context = await chromium.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    try:
        await page.goto(address)
        await page.locator("h1").first.wait_for()
        await page.locator(SETTLED).wait_for()
        while not end.is_set():
            await asyncio.sleep(chance.expovariate(1 / every))
            if control := await _control(page, chance):
                seen.drawn.append(await control.evaluate(DRAWN))
            seen.errors += [f"{address}: {text}" for text in await page.get_by_test_id("stException").all_inner_texts()]
    except Error as error:
        seen.errors.append(f"{address} in a browser: {error.message.splitlines()[0]}")
    await context.close()


async def _control(page: Page, chance: random.Random):
    """A control that can be clicked now, and would change something."""
    there = [one for one in await page.locator(CONTROLS).all()
             if await one.is_enabled() and await one.get_attribute("aria-checked") != "true"]  # fmt: skip
    return chance.choice(there) if there else None
