"""The encoder-decoder: a network that reads one text and writes another."""

import torch
from torch import Tensor, nn

from explorer import heads as attention
from explorer.data.text import END, PAD, START
from explorer.models.base import MODELS
from explorer.models.language import Depth, Heads, Width, uneven


class Translator(nn.Module):
    """A BART of the transformers library, as a plain network: token numbers of two texts in, logits out."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def draw_weights(self, generator: torch.Generator) -> None:
        """Nothing is drawn here: the library's fixed bias of the answer is none."""
        self.net.final_logits_bias.zero_()

    def forward(self, source: Tensor, target: Tensor) -> Tensor:  # (N, S) and (N, T), which begins with [START]
        mask = source.ne(PAD)
        found = self.net(input_ids=source, attention_mask=mask, decoder_input_ids=target, use_cache=False)
        return found.logits  # (N, T, words): at each token of the answer, of the next one


@MODELS.register(
    "seq2seq", reads=("text-pairs",), unfit=uneven, objective="seq2seq", wrap=Translator, task="text2text-generation"
)
def seq2seq(shape: tuple[int], classes: int, width: Width = 64, depth: Depth = 2, heads: Heads = 4) -> nn.Module:
    """A transformer whose encoder reads one text and whose decoder writes another, looking back at the first.

    shape: (the longest text in tokens,). classes: words of the vocabulary. depth: blocks of each half.
    Source: Vaswani et al. 2017, "Attention is all you need", section 3.1; built as BART, Lewis et al. 2020.
    """
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=classes, max_position_embeddings=shape[0], d_model=width, encoder_layers=depth,
        decoder_layers=depth, encoder_attention_heads=heads, decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width, dropout=0.0, bos_token_id=START, eos_token_id=END,
        pad_token_id=PAD, decoder_start_token_id=START, forced_eos_token_id=None, tie_word_embeddings=False,
        attn_implementation=attention.implementation(),
    )  # fmt: skip
    return Translator(BartForConditionalGeneration(config))
