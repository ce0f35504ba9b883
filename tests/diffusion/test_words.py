"""Maps of words are the network's own cross-attention: python -m pytest tests/diffusion/test_words.py"""

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor

from explorer.diffusion import sample
from explorer.diffusion.words import word_maps
from explorer.errors import ExplorerError

PROMPT = "a red ring left of blue"


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("sampler", ["ddim", "euler"])
def test_maps_are_what_the_library_s_plain_attention_computes(saved, sampler, guidance, monkeypatch):
    ref = saved("prompts")
    past = sample(ref, sampler, steps=3, guidance=guidance, condition=PROMPT, seed=1)
    found = word_maps(past)
    assert found.words == tuple(PROMPT.split())
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
        ref[5:], safety_checker=None, requires_safety_checker=False
    )
    pipeline.unet.set_attn_processor(AttnProcessor())
    seen = []
    plain = Attention.get_attention_scores

    def told(self, query, key, mask=None):
        weights = plain(self, query, key, mask)
        if self.is_cross_attention:
            seen.append(weights)
        return weights

    monkeypatch.setattr(Attention, "get_attention_scores", told)
    ids = pipeline.tokenizer(PROMPT, padding="max_length", max_length=8, truncation=True, return_tensors="pt").input_ids
    with torch.inference_mode():
        for step in range(3):
            seen.clear()
            pipeline.unet(torch.tensor(past.shown[step]), past.timesteps[step], pipeline.text_encoder(ids)[0])
            side = [round(max(one.shape[1] for one in seen) ** 0.5)] * 2
            grids = [one.mean(0).T.reshape(1, 8, *[round(one.shape[1] ** 0.5)] * 2) for one in seen]
            maps = [torch.nn.functional.interpolate(grid, side, mode="bilinear")[0] for grid in grids]
            np.testing.assert_allclose(found.maps[step], torch.stack(maps).mean(0)[1:7], atol=1e-5)


def test_every_place_shares_out_the_whole_of_its_attention(saved):
    past = sample(saved("prompts"), steps=4, condition=["a blue star", "a red ring"], count=2)
    found = word_maps(past, row=1, at=[0, 3])
    assert found.maps.shape[:2] == (2, 3)
    assert found.words == ("a", "red", "ring")
    np.testing.assert_allclose(found.maps.sum(1) + found.rest, 1, atol=1e-5)


def test_without_words_there_are_no_maps(saved):
    empty = word_maps(sample(saved("prompts"), steps=2, condition=""))
    assert (empty.words, empty.maps.shape[1]) == ((), 0)
    with pytest.raises(ExplorerError, match="reads none"):
        word_maps(sample(saved("free"), steps=2))
