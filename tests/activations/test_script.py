"""The script of the code panel leaves the very values: python -m pytest tests/activations/test_script.py"""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer import training, zoo
from explorer.activations import Feed, capture, export, sample
from explorer.activations.script import inputs, script
from explorer.source import beside, file_of
from explorer.training import TrainConfig
from tests import alone


def write(folder: Path, given: Feed) -> Path:
    """A folder with the script and all that it wants beside it."""
    folder.mkdir(parents=True)
    (folder / "script.py").write_text(script(given), encoding="utf-8")
    (folder / "inputs.npz").write_bytes(inputs(given))
    for name in beside(given.model):
        (folder / name).write_bytes(file_of(given.model, name))
    return folder


def prove(folder: Path, given: Feed) -> None:
    """Every layer that ran here has the same values there."""
    theirs = np.load(folder / "activations.npz")
    found = capture(given.model, given)
    ours = {layer.name: layer.output for layer in found if layer.output is not None}
    assert len(ours) > 3
    assert set(ours) == set(theirs)
    for name, values in ours.items():
        np.testing.assert_allclose(theirs[name], values, rtol=1e-4, atol=1e-4 * np.abs(values).max(), err_msg=name)


@pytest.mark.timeout(300)
def test_on_every_shipped_model(tmp_path):
    given = {card.ref: sample(zoo.load(card.ref), 1) for card in zoo.cards()}
    folders = {ref: write(tmp_path / ref.replace(":", "-"), one) for ref, one in given.items()}
    alone.run(folders.values(), timeout=280)
    for ref, folder in folders.items():
        prove(folder, given[ref])


def test_on_a_run_of_ones_own(tmp_path):
    run = training.fit(TrainConfig(model="mlp", dataset="points", epochs=1, batch_size=256))
    given = sample(zoo.load(f"{run.ref}@{run.checkpoints[-1]}"), 3)
    folder = write(tmp_path / "run", given)
    alone.run([folder])
    prove(folder, given)


def test_it_speaks_of_nothing_of_ours():
    for card in zoo.cards():
        text = script(sample(zoo.load(card.ref), 1))
        compile(text, "script.py", "exec")
        assert "explorer" not in text
        assert "register(" not in text.replace("register_forward_hook(", "")


def test_the_numbers_to_take_away():
    found = capture("zoo:shapes-resnet")
    archive = np.load(io.BytesIO(export.npz(found)))
    for layer in found:
        np.testing.assert_array_equal(archive[layer.name], layer.output)
    rows = list(csv.DictReader(io.StringIO(export.to_csv(found))))
    assert [row["layer"] for row in rows] == list(found.names)
    relu = next(row for row in rows if row["layer"] == "stem.relu")
    values = found["stem.relu"].output
    assert float(relu["mean"]) == pytest.approx(values.mean(), rel=1e-5)
    assert float(relu["zeros"]) == pytest.approx((values == 0).mean())
    assert relu["shape"] == "24×32×32"


def test_the_figure_shows_every_map_on_one_scale():
    layer = capture("zoo:digits-lenet")["relu1"]
    pixels = export.figure(layer)
    assert pixels.dtype == np.uint8
    rows = -(-16 // export.ROW)
    assert pixels.shape[0] > rows * export.SIDE * 0.9
    place = np.unravel_index(layer.output[0].argmax(), layer.output[0].shape)
    top = (place[0] // export.ROW) * (9 * 8 + export.GAP) + export.GAP + 9 * place[1] + 4
    left = (place[0] % export.ROW) * (9 * 8 + export.GAP) + export.GAP + 9 * place[2] + 4
    assert tuple(pixels[top, left]) == (0x8A, 0x3D, 0x00)  # the strongest colour
    text = export.svg(layer, "zoo:<digits>")
    assert "zoo:&lt;digits&gt;" in text
    Image.fromarray(pixels).verify()
    vector = export.figure(capture("zoo:digits-lenet")["fc1"])
    assert vector.ndim == 3
