"""Take README's pictures of the app as it is: python -m tests.browser.screens [page …]"""

import io
import os
import subprocess
import sys
import tempfile

import PIL.Image
from playwright.sync_api import Browser, sync_playwright

from explorer.ui.page import ASSETS
from tests.browser import find
from tests.browser.conftest import QUIET, ROOT, await_port, command, free_port

SCREENS = ASSETS / "screens"
SHOTS = {  # file: (address, height of the window, the text that says it is drawn)
    "home": ("", 900, "Train a small network"),
    "training": ("training", 1500, "Test split:"),
    "before": (
        "training?view=Before+it+runs&data=shapes&network=resnet&mixup=1.0&crop=6&schedule=one-cycle&warmup=0.3&batch=3",
        1150,
        "Which learning rate?",
    ),
    "race": ("training?view=Is+it+real%3F&race=optimisers", 1350, "Every network"),
    "playground": ("training?view=Playground", 850, "Hover a unit"),
    "attribution": ("attribution", 2200, "Hover a heading"),
    "shortcut": ("attribution?view=A+planted+shortcut&tag=lie", 1700, "Hover a heading"),
    "attention": ("attention", 1560, "Take it away"),
    "roles": ("attention?see=What+does+each+do%3F", 1560, "When did that come about"),
    "map": ("activations", 1150, "How it is counted"),
    "layer": ("activations?view=Layer&layer=stage1.0.relu1", 1500, "this layer"),
    "embeddings": ("activations?view=Embeddings", 1250, "the most frequent class"),
    "surgery": ("activations?view=Surgery", 1300, "The most damaging"),
    "diffusion": ("diffusion", 1400, "Take it away"),
    "field": ("diffusion?model=zoo:points-diffusion&view=Score+field", 1500, "Straight paths"),
}
WIDTH, SCALE = 1280, 1.25
SETTLED = 3000  # milliseconds for charts to be drawn


def shoot(browser: Browser, address: str, height: int, awaited: str) -> PIL.Image.Image:
    """The window at that address, once the awaited text is there."""
    window = browser.new_context(viewport={"width": WIDTH, "height": height}, device_scale_factor=SCALE)
    page = window.new_page()
    page.goto(address)
    page.get_by_text(awaited).first.wait_for(timeout=60_000)
    page.wait_for_timeout(SETTLED)
    picture = PIL.Image.open(io.BytesIO(page.screenshot()))
    window.close()
    return picture.convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE)


def main(names: list[str]) -> None:
    """Start the app on an empty data folder and take the named pictures, or all."""
    SCREENS.mkdir(exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        server = subprocess.Popen(command(ROOT / "app.py", port), cwd=ROOT, env=os.environ | {"EXPLORER_DATA": data})
        try:
            await_port(port, server)
            browser = playwright.chromium.launch(executable_path=find.browser(), args=QUIET)
            for name in names or SHOTS:
                path, height, awaited = SHOTS[name]
                shoot(browser, f"http://127.0.0.1:{port}/{path}", height, awaited).save(
                    SCREENS / f"{name}.png", optimize=True
                )
                print(SCREENS / f"{name}.png")
            browser.close()
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main(sys.argv[1:])
