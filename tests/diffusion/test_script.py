"""The scripts of the code panel draw the very same samples: python -m pytest tests/diffusion/test_script.py"""

import shutil

import numpy as np
import pytest
import torch

from explorer import zoo
from explorer.diffusion import SAMPLERS, sample
from explorer.diffusion.script import script
from explorer.errors import ExplorerError
from explorer.zoo.own import zipped
from tests import alone


def test_a_script_for_every_sampler_and_every_kind_of_network(saved, tmp_path):
    cases = {name: sample(saved("guided"), name, 4, 3.0, [1, "class 0"], 5, 2, "class 2")
             for name in SAMPLERS if name not in ("lcm", "flow")}  # fmt: skip
    cases["flow"] = sample(saved("free", prediction_type="flow"), "flow", 4)
    cases["free"] = sample(saved("free", prediction_type="v_prediction"), "ddim", 4)
    cases["classes"] = sample(saved("classes"), "euler", 4, condition=2)
    cases["unguided"] = sample(saved("guided"), "ddpm", 4, 1.0, condition=2)
    cases["ours"] = sample("zoo:digits-diffusion", "ddim", 3, 2.0, [1, 7], 3, 2)
    cases["prompts"] = sample(saved("prompts"), "dpm_solver", 4, 5.0, ["a red 'ring'", "blue"], 3, 2, "a star")
    cases["words"] = sample("zoo:shapes-diffusion", "ddim", 3, 4.0, "a red ring")  # its text encoder is saved in halves
    for name, found in cases.items():
        (tmp_path / name).mkdir()
        text = script(found)
        assert "explorer" not in text
        (tmp_path / name / "script.py").write_text(text, encoding="utf-8")
        if found.ref.startswith("zoo:"):  # it wants its model beside it
            (tmp_path / name / "model.zip").write_bytes(zipped(zoo.load(found.ref)))
    alone.run(
        [tmp_path / name for name in cases], hidden=["torchvision"]
    )  # one built for another torch stops diffusers
    for name, found in cases.items():
        drawn = np.load(tmp_path / name / "samples.npy")
        expected = found.x[-1]
        if name in ("prompts", "words"):
            with zoo.load(found.ref).borrow() as parts, torch.inference_mode():
                expected = (
                    parts["vae"].decode(torch.tensor(expected) / parts["vae"].config.scaling_factor).sample.numpy()
                )
        np.testing.assert_allclose(drawn, expected, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_script_finds_the_parts_of_the_oldest_pipelines_beside_their_index(saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved("free").removeprefix("file:"), folder)
    for part in ("unet", "scheduler"):
        for path in (folder / part).iterdir():
            path.rename(folder / path.name)
        (folder / part).rmdir()
    found = sample(f"file:{folder}", "ddim", 2)
    (tmp_path / "script.py").write_text(script(found), encoding="utf-8")
    alone.run([tmp_path], hidden=["torchvision"])
    np.testing.assert_allclose(np.load(tmp_path / "samples.npy"), found.x[-1], rtol=1e-4, atol=1e-4)


def test_every_part_is_named_by_its_subfolder(saved):
    text = script(sample(saved("prompts"), "ddim", 2, condition="a red ring"))
    for part in ("unet", "scheduler", "tokenizer", "text_encoder", "vae"):
        assert f'folder, subfolder="{part}"' in text  # "owner/name/tokenizer" is no name that the Hub knows


def test_points_have_no_script(saved):
    with pytest.raises(ExplorerError, match="no pipeline of points"):
        script(sample(saved("points"), steps=2, count=3))
