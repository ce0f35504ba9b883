"""A language model from a folder that transformers' `save_pretrained` wrote, with its own fast tokenizer."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.memory import out_of_memory
from explorer.settings import settings
from explorer.zoo import saved
from explorer.zoo.card import TEXT_TASKS, Card
from explorer.zoo.refs import Ref

if TYPE_CHECKING:
    from explorer.zoo.text import TextModel

AUTO = {  # task → the Auto class of transformers whose networks have its head
    "fill-mask": "AutoModelForMaskedLM",
    "feature-extraction": "AutoModel",
    "text-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
    "text2text-generation": "AutoModelForSeq2SeqLM",
}
SIZES = {  # what a card says of a network → its name in transformers' configs
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "width": "hidden_size",
    "vocabulary": "vocab_size",
}
POSITIONS = ("max_position_embeddings", "max_encoder_position_embeddings", "max_decoder_position_embeddings")


def load(ref: Ref, folder: Path, task: str, made: str, card: Card | None) -> "TextModel":
    """The language model in a folder that `saved.check` passed; raises ExplorerError when it can't be opened.

    card: of a shipped model; None: what the folder says.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES as ENCODING

    from explorer.zoo.text import TextModel

    if card and card.task != task:
        raise saved.refuse(ref, f"its card says {card.task}, and its config.json {task}")
    tokenizer = _tokenizer(ref, folder)
    auto, headless = AUTO[task], task == "feature-extraction"
    if headless and json.loads((folder / "config.json").read_bytes())["model_type"] in ENCODING:
        auto = "AutoModelForTextEncoding"  # of T5 and its like the encoder alone
    net = saved.network(ref, getattr(transformers, auto), folder, lambda net: _example(net, task), headless)
    rows, last = net.get_input_embeddings().num_embeddings, max(tokenizer.get_vocab().values())
    if last >= rows:
        raise saved.refuse(ref, f"its tokenizer counts up to token {last}, and its network knows {rows} tokens")
    _check_attention(ref, net, task)
    if getattr(net.config, "use_cache", False):
        net.config.use_cache = False  # a single pass has no use for what generation keeps; who writes on asks for it
    longest = min(_positions(net), settings().limits.tokens)
    if card:
        return TextModel(replace(card, shape=(min(longest, *card.shape),)), net.to(settings().device), tokenizer)
    sizes = {name: getattr(net.config, known, None) for name, known in SIZES.items()}
    classes = range(net.config.num_labels) if task == "text-classification" else ()
    card = Card(
        ref=str(ref),
        title=ref.name.rpartition("/")[2],
        task=task,
        architecture=net.config.model_type,
        parameters=net.num_parameters(),
        shape=(longest,),
        labels=[str(net.config.id2label[index]) for index in classes],
        mean=(),
        std=(),
        settings={name: size for name, size in sizes.items() if isinstance(size, int)},
        resize="cut off at its end",
        made=made,
    )
    return TextModel(card, net.to(settings().device), tokenizer)


def _tokenizer(ref: Ref, folder: Path) -> Any:
    """The folder's own tokenizer, as long as it is a fast one."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        with saved.one_at_a_time:
            try:
                made = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            except ImportError:  # the class of its type needs sentencepiece, which a tokenizer.json does without
                made = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the library for tokenizers raises plain Exceptions for damaged files
        if out_of_memory(error):
            raise
        raise saved.refuse(ref, f"its tokenizer is damaged: {saved.in_words(error)}") from error
    if not made.is_fast:
        raise saved.refuse(ref, f"its tokenizer {type(made).__name__} is a slow one, without a tokenizer.json")
    if not set(made.get_vocab()) - set(made.all_special_tokens):
        raise saved.refuse(ref, "its tokenizer has no words")
    return made


def _example(net: Any, task: str) -> dict[str, Any]:
    """A text of four tokens, on which a network is tried."""
    import torch

    ids = torch.arange(1, 5)[None] % net.get_input_embeddings().num_embeddings
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return inputs | {"decoder_input_ids": ids[:, :3]} if TEXT_TASKS[task] == "encoder-decoder" else inputs


def _check_attention(ref: Ref, net: Any, task: str) -> None:
    """Refuse a network that shows no attention weights, or none of the kind that can be drawn."""
    import torch

    from explorer.borrow import private

    inputs, tree = _example(net, task), private(net)
    try:
        with torch.inference_mode():
            answer = tree(**inputs, output_attentions=True)
    except (*saved.UNREADABLE, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise saved.refuse(ref, f"it fails on a text of four tokens: {saved.in_words(error)}") from error
    given = answer.get("encoder_attentions") or answer.get("attentions") or ()
    found = [one for one in given if isinstance(one, torch.Tensor) and one.ndim == 4]
    if not found:
        raise saved.refuse(ref, f"it has no attention ({net.config.model_type} works without)")
    tokens = inputs["input_ids"].shape[1]
    weights = found[0]  # (1, H, Q, K)
    if weights.shape[2:] != (tokens, tokens) or not torch.allclose(weights.sum(-1), weights.new_ones(()), atol=1e-3):
        raise saved.refuse(ref, "its attention is no table of tokens by tokens whose rows sum to one")
    if TEXT_TASKS[task] == "decoder" and weights.triu(1).any():
        raise saved.refuse(ref, "it writes on, but its attention looks ahead")


def _positions(net: Any) -> int:
    """How many tokens a network has positions for; very many where positions are relative or computed without end."""
    from torch import nn
    from transformers import PreTrainedConfig

    configs = [net.config, *(part for part in vars(net.config).values() if isinstance(part, PreTrainedConfig))]
    found = [getattr(config, name, None) for config in configs for name in POSITIONS]
    for name, part in net.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding) and part.padding_idx is not None:
            found.append(part.num_embeddings - part.padding_idx - 1)  # RoBERTa counts on from the padding's number
    return min((number for number in found if isinstance(number, int) and number > 0), default=10**9)
