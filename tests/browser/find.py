"""Where a Chromium or Chrome is: python -m tests.browser.find"""

import os
import shutil
import sys
from pathlib import Path

NAMES = (
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"
)  # fmt: skip
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def browser() -> str | None:
    """The path of a browser: BROWSER_PATH, or the first one found; None where there is none."""
    named = os.environ.get("BROWSER_PATH")
    found = [named] if named else [shutil.which(name) for name in NAMES]
    if MAC.exists():
        found.append(str(MAC))
    return next((path for path in found if path and Path(path).exists()), None)


if __name__ == "__main__":
    print(browser() or "none")
    sys.exit(browser() is None)
