#!/usr/bin/env bash
# Installs what the tests need, a browser included, and runs all of them:  bash tests/run.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${VIRTUAL_ENV:-}" ]; then # an environment of its own, unless one is active
    [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
    source .venv/bin/activate
fi
python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r tests/requirements.txt

if ! python -m tests.browser.find >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "No Chromium or Chrome was found: install one, or set BROWSER_PATH to it." >&2
        exit 1
    fi
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    $as_root apt-get update -qq
    export DEBIAN_FRONTEND=noninteractive
    for browser in chromium-headless-shell chromium; do # the first opens a page in two thirds of the time
        $as_root apt-get install -y -qq --no-install-recommends "$browser" fonts-dejavu-core >/dev/null && break
    done
fi

ruff check .
ruff format --check .
if [ $# -gt 0 ]; then
    python -m pytest "$@"
else # one process a core; what needs no browser has a thread each
    OMP_NUM_THREADS=1 python -m pytest -m "not browser" -n 2 --dist loadfile
    python -m pytest -m browser -n 2 --dist loadfile ||
        python -m pytest -m browser --last-failed --last-failed-no-failures none # alone: two browsers hinder each other
fi
