"""The encoder: a network that sees a whole text at once and predicts what was masked in it."""

import torch
from torch import Tensor, nn

from explorer import heads as attention
from explorer.data.text import PAD
from explorer.models.base import MODELS
from explorer.models.language import Depth, Heads, Width, uneven


class Masked(nn.Module):
    """A BERT of the transformers library, as a plain network: token numbers in, logits out."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def draw_weights(self, generator: torch.Generator) -> None:
        """Nothing is drawn here: the library's two tables of whole numbers are filled in."""
        tables = self.net.bert.embeddings
        tables.position_ids.copy_(torch.arange(tables.position_ids.shape[1]))
        tables.token_type_ids.zero_()

    def forward(self, ids: Tensor) -> Tensor:  # (N, T)
        return self.net(input_ids=ids, attention_mask=ids.ne(PAD)).logits  # (N, T, words): of the token itself


@MODELS.register("bert", reads=("text",), unfit=uneven, objective="masked", wrap=Masked, task="fill-mask")
def bert(shape: tuple[int], classes: int, width: Width = 64, depth: Depth = 3, heads: Heads = 4) -> nn.Module:
    """A transformer that sees a whole text and learns to restore the words that were masked in it.

    shape: (the longest text in tokens,). classes: words of the vocabulary.
    Source: Devlin et al. 2019, "BERT", section 3.1.
    """
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=classes, max_position_embeddings=shape[0], hidden_size=width, num_hidden_layers=depth,
        num_attention_heads=heads, intermediate_size=4 * width, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, tie_word_embeddings=False, pad_token_id=PAD,
        attn_implementation=attention.implementation(),
    )  # fmt: skip
    return Masked(BertForMaskedLM(config))
