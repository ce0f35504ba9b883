"""README says what is there: python -m pytest tests/test_readme.py

`python -m tests.test_readme` writes its tree anew.
"""

import ast
import re
from dataclasses import fields
from pathlib import Path

from explorer import settings, zoo
from explorer.ui.page import ASSETS, PAGES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN, END = "<!-- tree -->\n", "<!-- /tree -->\n"


def tree() -> str:
    """One line a file: its path, and the first line of its docstring."""
    files = [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py")), *sorted((ROOT / "explorer").rglob("*.py"))]
    lines = []
    for file in files:
        about = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]
        assert about, f"{file} does not say what it is"
        lines.append(f"{file.relative_to(ROOT).as_posix():38} {about}\n")
    return f"```\n{''.join(lines)}```\n"


def test_the_tree_is_that_of_the_repository():
    text = README.read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0] == tree(), "run python -m tests.test_readme"


def test_both_commands_name_files_that_are_there():
    text = README.read_text(encoding="utf-8")
    assert "pip install -r requirements.txt && streamlit run app.py" in text
    assert "bash tests/run.sh" in text
    for name in ("requirements.txt", "app.py", "tests/run.sh", "tests/benchmarks/__main__.py", "LICENSE"):
        assert (ROOT / name).is_file()
    assert "bash tests/run.sh" in (ROOT / ".ci" / "run").read_text()


def test_every_page_every_shipped_model_and_every_limit_is_mentioned():
    text = README.read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert f"**{page.title}**" in text
    for card in zoo.cards():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{card.ref}`"))
        assert f"{card.parameters:,}" in row
        promised = [value for name, value in card.metrics.items() if name.endswith(("test accuracy", "as asked"))]
        assert promised
        for value in promised:
            assert f"{value:.1%}" in row
    for field in fields(settings.Limits):
        assert f"`{field.name}`" in text


def test_every_picture_is_there():
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / picture).is_file(), picture


def test_every_picture_is_shown():
    for picture in (ASSETS / "screens").iterdir():
        assert picture.relative_to(ROOT).as_posix() in README.read_text(encoding="utf-8"), picture


def test_its_python_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(README), "exec"), {})
    assert "their" in capsys.readouterr().out


def test_no_address_of_a_package_index_is_written_anywhere():
    for name in ("requirements.txt", "tests/requirements.txt", "tests/run.sh", ".ci/run", "pyproject.toml"):
        assert "http" not in (ROOT / name).read_text(), name


if __name__ == "__main__":
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    README.write_text(before + BEGIN + tree() + END + rest.split(END)[1], encoding="utf-8")
