"""The scripts of the code panel leave the page's own weights: python -m pytest tests/attention/test_script.py"""

import io
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from explorer import training, zoo
from explorer.attention import AttentionPatterns, attend
from explorer.attention.script import script
from explorer.errors import ExplorerError
from explorer.source import beside, file_of
from explorer.training import TrainConfig
from tests import alone
from tests.attention import nets
from tests.attention.nets import TEXT, picture
from tests.zoo.conftest import save_tiny

SHIPPED = {card.ref for card in zoo.cards()}
ODD = 'a "red" <ring> & \\ a\'star 🦜 שלום'
LONG = "the cat sees a red ring " * 20  # of more tokens than the tiny networks have positions for
CASES = {  # name → family, text, second text
    "bert": ("bert", TEXT, None),
    "pair": ("bert", "the cat runs .", "it sees\na star"),
    "cut": ("bert", LONG, "a star " * 40),
    "classifier": ("classifier", TEXT, None),
    "features": ("features", ODD, None),
    "gpt2": ("gpt2", TEXT, None),
    "gpt2-cut": ("gpt2", LONG, None),
    "llama": ("llama", "half a letter \ud83d", None),
    "t5": ("t5", TEXT, None),
    "t5-said": ("t5", TEXT, "a red star . it runs"),
    "bart": ("bart", TEXT, None),
    "bart-said": ("bart", "a cat", LONG),
    "neo": ("neo", TEXT, None),
}


def write(folder: Path, given, ref: str, second: str | None = None) -> AttentionPatterns:
    """A folder with the script of a reading and all that it wants beside it; the page's own weights."""
    folder.mkdir(parents=True)
    model, found = zoo.load(ref), attend(ref, given, second)
    (folder / "script.py").write_text(script(ref, given, second), encoding="utf-8")
    for name in beside(model):
        (folder / name).write_bytes(file_of(model, name))
    if found.patches:
        Image.fromarray(found.patches.picture).save(folder / "picture.png")
    return found


def prove(folders: dict[Path, AttentionPatterns]) -> None:
    """Run all the scripts in a process that can't find the explorer, and compare."""
    alone.run(folders)
    for folder, found in folders.items():
        with np.load(folder / "weights.npz") as theirs:
            assert theirs.files == [f"{part.name}.weights" for part in found.parts], folder
            for part in found.parts:
                assert theirs[f"{part.name}.weights"].shape == part.weights.shape, folder
                np.testing.assert_allclose(
                    theirs[f"{part.name}.weights"], part.weights, rtol=0, atol=1e-5, err_msg=f"{folder} {part.name}"
                )


def save(folder: Path, family: str) -> str:
    """A tiny network of random weights as `save_pretrained` writes it; its ref."""
    nets.net(family, "eager").save_pretrained(folder)
    nets.tokenizer().save_pretrained(folder)
    return f"file:{folder}"


def test_every_kind_of_network_on_disk_and_every_kind_of_text(tmp_path):
    refs = {family: save(tmp_path / "nets" / family, family) for family in {case[0] for case in CASES.values()}}
    found = {tmp_path / name: write(tmp_path / name, text, refs[family], second)
             for name, (family, text, second) in CASES.items()}  # fmt: skip
    save_tiny(tmp_path / "nets" / "vit", "vit")
    found[tmp_path / "vit"] = write(tmp_path / "vit", picture(), f"file:{tmp_path / 'nets' / 'vit'}")
    prove(found)
    assert [part.name for part in found[tmp_path / "t5"].parts] == ["encoder", "decoder", "cross"]
    assert len(found[tmp_path / "t5"].part("decoder").queries) > 1


def test_shipped_networks_and_runs_of_ones_own(tmp_path):
    texts = {"zoo:story-gpt": TEXT, "zoo:story-bert": "the [MASK] near the cats runs .",
             "zoo:dates-seq2seq": "the 3rd of March 2021"}  # fmt: skip
    found = {tmp_path / ref[4:]: write(tmp_path / ref[4:], text, ref) for ref, text in texts.items() if ref in SHIPPED}
    found[tmp_path / "said"] = write(tmp_path / "said", "2021-03-03", "zoo:dates-seq2seq", "the 3rd of March 2021")
    found[tmp_path / "vit"] = write(tmp_path / "vit", picture(64), "zoo:shapes-vit")
    small = {"width": 16, "depth": 2, "heads": 2}
    gpt = training.fit(TrainConfig(dataset="sort", model="gpt", model_settings=small, epochs=1, batch_size=512))
    found[tmp_path / "gpt"] = write(tmp_path / "gpt", "31 7 50 =", gpt.ref)
    prove(found)


def test_a_script_speaks_of_nothing_of_ours(tmp_path):
    for text in (
        script("zoo:dates-seq2seq", "the 3rd of March 2021"),
        script("zoo:shapes-vit", picture(64)),
        script(save(tmp_path / "bert", "bert"), TEXT),
    ):
        compile(text, "script.py", "exec")
        assert "explorer" not in text
        assert "Annotated" not in text


def test_only_what_is_not_found_by_name_lies_beside_the_script(tmp_path):
    assert beside(zoo.load(save(tmp_path / "gpt2", "gpt2"))) == ()
    assert beside(zoo.load("zoo:shapes-vit")) == ("model.safetensors",)
    dates = zoo.load("zoo:dates-seq2seq")
    assert beside(dates) == ("model.zip",)
    with ZipFile(io.BytesIO(file_of(dates, "model.zip"))) as archive:
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(archive.namelist())


def test_no_script_where_pixels_are_not_merely_scaled():
    model = nets.ours()
    prepare = model.preprocess
    model.preprocess = lambda x: prepare(x) ** 2
    with pytest.raises(ExplorerError, match="more to pixels"):
        script(model, picture())
