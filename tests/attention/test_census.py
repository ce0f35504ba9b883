"""The census of heads: what a worker would do, done here, and through a real worker in tests/browser."""

from dataclasses import asdict

import numpy as np
import pytest

from explorer import zoo
from explorer.attention import sweep
from explorer.attention.census import Census, _folder, asked, examples, rows, run, standing, start
from explorer.errors import ExplorerError
from explorer.runs import files

REF = "zoo:shapes-vit"


def begun(id: str, wanted: Census) -> dict:
    files.write_json(_folder(id) / "census.json", asdict(wanted))
    return {"id": id, "census": asdict(wanted)}


def test_each_row_is_the_sweep_of_one_example_and_the_mean_is_theirs():
    id, told = "a" * 32, []
    outcome = run(begun(id, Census(REF, 3)), told.append, lambda: False)
    assert outcome == {"texts": 3}
    assert [event["step"] for event in told] == [1, 2, 3]
    test = examples(zoo.load(REF))
    chosen = np.random.default_rng(0).permutation(len(test))[:3]
    each = np.stack([sweep(REF, test.x[index]).changes["self"] for index in chosen])
    found = standing(rows(id))
    mean, margin = found.parts["self"]
    assert found.texts == 3
    assert np.allclose(mean, each.mean(0), atol=1e-3)
    assert (margin > 0).all()
    assert asked(id) == Census(REF, 3)


def test_stopping_keeps_what_was_done():
    id = "b" * 32
    outcome = run(begun(id, Census(REF, 5)), lambda event: None, lambda: True)
    assert outcome == {"texts": 1}
    _, margin = standing(rows(id)).parts["self"]
    assert np.isnan(margin).all(), "one example says nothing of the spread"


def test_what_can_not_be_measured_is_refused():
    with pytest.raises(ExplorerError, match="none of that name"):
        asked("../etc")
    with pytest.raises(ExplorerError, match="2 to 1000"):
        start(Census(REF, 1), "local")
    with pytest.raises(ExplorerError, match="zero or mean"):
        start(Census(REF, 10, "half"), "local")
