"""The app as a whole: its pages, its Home, its refusals, and what it must not load."""

import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from explorer.ui.page import ASSETS, CARDS, PAGES

ROOT = Path(__file__).parents[1]
CONFIG = tomllib.loads((ROOT / ".streamlit/config.toml").read_text(encoding="utf-8"))


def home() -> AppTest:
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()


def test_home_shows_a_picture_a_link_and_a_line_for_every_page():
    test = home()
    assert not test.exception
    assert not test.error
    assert test.title[0].value.startswith("Train a small network")
    assert {page.summary for page in CARDS} <= {line.value for line in test.markdown}
    assert len(test.get("image")) == len(CARDS) + 1
    assert len(test.get("page_link")) == len(CARDS)


def test_home_is_drawn_without_torch_or_any_other_heavy_library():
    script = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        "test = AppTest.from_file('app.py', default_timeout=60).run(); assert test.title and not test.exception;"
        "print(*{'torch', 'torchvision', 'sklearn', 'mlflow', 'transformers', 'diffusers'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="torch may use that BLAS there")
def test_numpy_computes_in_one_thread_which_waits_for_no_other():
    script = (
        "import sys; from streamlit.testing.v1 import AppTest; assert 'numpy' not in sys.modules;"
        "AppTest.from_file('app.py', default_timeout=60).run(); import numpy, threadpoolctl;"
        "print(*(pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas'))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    run = [sys.executable, "-c", script]
    ran = subprocess.run(run, check=True, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert set(ran.stdout.split()) == {"1"}


def test_an_invalid_setting_stops_the_start_with_a_sentence_that_names_it(monkeypatch, capsys):
    monkeypatch.setenv("EXPLORER_MODE", "turbo")
    test = home()
    (box,) = test.error
    assert "EXPLORER_MODE='turbo'" in box.value.replace("\\", "")
    assert not test.title
    assert "EXPLORER_MODE='turbo'" in capsys.readouterr().err


def test_the_table_of_pages_is_the_folder_of_pages():
    assert sorted(page.path for page in PAGES) == sorted(f"pages/{path.name}" for path in (ROOT / "pages").glob("*.py"))
    assert len({page.title for page in PAGES}) == len(PAGES)
    assert {page.title for page in PAGES} - {page.title for page in CARDS} == {"Home", "This server"}


@pytest.mark.parametrize("page", CARDS, ids=lambda page: page.title)
def test_every_page_has_a_line_and_a_picture_with_words_for_it(page):
    assert page.summary.endswith(".")
    assert page.shows
    picture = (ASSETS / page.picture).read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert len(picture) < 150_000
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_the_server_reports_nothing_and_keeps_its_protections():
    assert CONFIG["browser"]["gatherUsageStats"] is False
    assert CONFIG["server"]["enableXsrfProtection"] is True
    assert CONFIG["server"]["enableCORS"] is True
    assert CONFIG["server"]["maxUploadSize"] <= 200
    assert "address" not in CONFIG["server"]
    assert CONFIG["client"]["showErrorDetails"] not in ("full", True)


def test_every_option_of_the_config_is_one_that_streamlit_knows():
    from streamlit import config

    def flat(table: dict, prefix: str = "") -> set[str]:
        return {
            name
            for key, value in table.items()
            for name in (flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key})
        }

    assert flat(CONFIG) <= set(config.get_config_options())


def test_no_font_comes_from_elsewhere():
    assert {CONFIG["theme"][name] for name in ("font", "headingFont", "codeFont")} <= {"sans-serif", "monospace"}
