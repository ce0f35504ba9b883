"""The decoder: a network that reads from left to right and predicts what comes next."""

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from explorer import heads as attention
from explorer.data.text import END, PAD, START
from explorer.models.base import MODELS
from explorer.models.language import Depth, Heads, Width, uneven
from explorer.params import Choice

NEAR = 100.0  # base of the rotary angles: texts of dozens of tokens, where the usual 10,000 is made for thousands


class Causal(nn.Module):
    """A decoder of the transformers library, as a plain network: token numbers in, logits out."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def draw_weights(self, generator: torch.Generator) -> None:
        """Nothing is drawn here: the angles of rotary positions are worked out anew."""
        if hasattr(self.net, "model"):
            self.net.model.rotary_emb = type(self.net.model.rotary_emb)(self.net.config)

    def forward(self, ids: Tensor) -> Tensor:  # (N, T), padded at the end, where no earlier token looks
        return self.net(input_ids=ids, use_cache=False).logits  # (N, T, words): at each token, of the next one


@MODELS.register("gpt", reads=("text",), unfit=uneven, objective="causal", wrap=Causal, task="text-generation")
def gpt(
    shape: tuple[int],
    classes: int,
    width: Width = 64,
    depth: Depth = 2,
    heads: Heads = 4,
    positions: Annotated[
        str,
        Choice(
            ("learned", "rotary"),
            help="Learned adds a vector for each place (as in GPT-2); rotary turns queries and keys by their place, so "
            "that distance counts (as in Llama).",
            paper="https://arxiv.org/abs/2104.09864",
        ),
    ] = "learned",
) -> nn.Module:
    """A transformer that reads from left to right and learns to predict each next word.

    shape: (the longest text in tokens,). classes: words of the vocabulary.
    Source: Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3; with rotary
    positions it is built as Touvron et al. 2023, "LLaMA", section 2.2.
    """
    return Causal((_gpt2 if positions == "learned" else _llama)(shape[0], classes, width, depth, heads))


def _gpt2(length: int, words: int, width: int, depth: int, heads: int) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_positions=length, n_embd=width, n_layer=depth, n_head=heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        **_common(words),
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def _llama(length: int, words: int, width: int, depth: int, heads: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        max_position_embeddings=length, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=depth,
        num_attention_heads=heads, rope_parameters={"rope_type": "default", "rope_theta": NEAR}, **_common(words),
    )  # fmt: skip
    return LlamaForCausalLM(config)


def _common(words: int) -> dict[str, Any]:
    return {
        "vocab_size": words, "tie_word_embeddings": False, "bos_token_id": START, "eos_token_id": END,
        "pad_token_id": PAD, "attn_implementation": attention.implementation(),
    }  # fmt: skip
