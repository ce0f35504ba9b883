"""What a person may bring as points, and what is refused with which sentence."""

from io import BytesIO

import numpy as np
import pytest

from explorer import data
from explorer.data.own import add_points
from explorer.errors import ExplorerError
from explorer.settings import settings

ROWS = [f"{i},{10 * i},{'AB'[i % 2]}" for i in range(20)]


def csv(*lines, encoding="utf-8"):
    return BytesIO("\n".join(lines).encode(encoding))


def all_of(name):
    splits = [data.load(name, split) for split in data.SPLITS]
    return np.concatenate([split.x for split in splits]), np.concatenate([split.y for split in splits])


@pytest.mark.parametrize(
    "source",
    [
        csv(*ROWS),
        csv("x,y,class", *ROWS),
        csv("x,y,class", "", *ROWS, "", encoding="utf-8-sig"),
        csv(*(row.replace(",", ";") for row in ROWS)),
        csv(*(row.replace(",", "\t") for row in ROWS)),
        csv(*(row.replace(",", ".0 , ", 1) for row in ROWS)),
        BytesIO("\r\n".join(ROWS).encode()),
    ],
    ids=["plain", "header", "byte order mark", "semicolons", "tabs", "spaces", "Windows"],
)
def test_a_table_of_points_becomes_a_data_set(source):
    name = add_points(source, "mine.csv")
    about = data.about(name)
    assert (about.title, about.task, about.shape, about.classes) == ("mine.csv", "points", (2,), 2)
    x, y = all_of(name)
    assert (len(x), x.dtype) == (20, np.float32)
    assert sorted(x[:, 0]) == pytest.approx(np.linspace(-1, 1, 20))
    assert x[:, 0] == pytest.approx(x[:, 1])  # each column has a scale of its own
    row = np.round((x[:, 0] + 1) / 2 * 19)
    assert np.array_equal(y, row % 2)
    assert data.load(name, "test").labels == ("A", "B")


def test_a_decimal_comma_is_read_beside_semicolons():
    x, _ = all_of(add_points(csv(*(f"{i},5;{i};{'AB'[i % 2]}" for i in range(6)))))
    assert sorted(x[:, 0]) == pytest.approx(np.linspace(-1, 1, 6))


def test_a_column_that_never_changes_and_numbers_of_any_size_are_fine():
    x, _ = all_of(add_points(csv(*(f"7,{sign}1.7e308,{'AB'[i % 2]}" for i, sign in enumerate(["", "", "-", "-"] * 3)))))
    assert (x[:, 0] == 0).all()
    assert set(x[:, 1]) == {-1, 1}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("three,4,A", "line 21: 'three' is not a number"),
        ("3,nan,A", "line 21: 'nan' is not a finite number"),
        ("3,-inf,A", "line 21: '-inf' is not a finite number"),
        ("3,1e999,A", "line 21: '1e999' is not a finite number"),
        ("3,,A", "line 21: '' is not a number"),
        ("3,4", "line 21: it has 2 columns"),
        ("3,4,A,5", "line 21: it has 4 columns"),
        ("3,4,", "line 21: its label has 0 characters"),
        ("3,4," + "A" * 61, "line 21: its label has 61 characters"),
        ("x,y,class", "line 21: 'x' is not a number"),
        ("3,4," + "A" * 200_000, "line 21: field larger"),
        ("3,4,\0", "line 21: it is not text"),
    ],
)
def test_the_line_that_is_wrong_is_named(line, words):
    with pytest.raises(ExplorerError, match=words):
        add_points(csv(*ROWS, line))
    assert not (settings().data / "own").exists()


def test_a_first_line_with_one_number_is_no_header():
    with pytest.raises(ExplorerError, match="line 1: 'two' is not a number"):
        add_points(csv("1,two,A", *ROWS))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (csv(), "no points"),
        (csv("x,y,class"), "no points"),
        (csv(*(f"{i},{i},A" for i in range(9))), "one class only, 'A'"),
        (csv(*(f"{i},{i},{i}" for i in range(101))), "101 classes"),
        (csv(*ROWS, "1,2,C"), "'C' has 1 to learn from"),
        (BytesIO(b"1,2,A\n\xff\xfe\x00\x01"), "line 2: it is not text in UTF-8"),
        (BytesIO(b"\x89PNG\r\n\x1a\n"), "line 1: it is not text in UTF-8"),
        (BytesIO("1,2,Ä".encode("latin-1")), "line 1: it is not text in UTF-8"),
    ],
    ids=["empty", "header only", "one class", "many classes", "lone point", "binary", "picture", "Latin-1"],
)
def test_what_is_no_table_of_points_is_refused(source, words):
    with pytest.raises(ExplorerError, match=words):
        add_points(source)


def test_too_many_points_and_too_large_a_file_are_refused(monkeypatch):
    monkeypatch.setenv("EXPLORER_EXAMPLES", "10")
    settings.cache_clear()
    with pytest.raises(ExplorerError, match="line 11: there are more than 10 points"):
        add_points(csv(*ROWS))
    monkeypatch.setenv("EXPLORER_UPLOAD", "50")
    settings.cache_clear()
    with pytest.raises(ExplorerError, match="larger than"):
        add_points(csv(*ROWS))


def test_a_path_is_read_but_not_on_a_shared_server(monkeypatch, tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("\n".join(ROWS))
    assert len(all_of(add_points(path))[1]) == 20
    with pytest.raises(ExplorerError, match="can't be read"):
        add_points(tmp_path / "none.csv")
    with pytest.raises(ExplorerError, match="can't be read"):
        add_points(tmp_path)
    monkeypatch.setenv("EXPLORER_SHARED", "1")
    settings.cache_clear()
    with pytest.raises(ExplorerError, match="opens no paths"):
        add_points(path)
