"""Tiny language models and vision transformers of random, seeded weights."""

import functools
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

import explorer.models as own
from explorer import heads
from explorer.zoo.card import Card
from explorer.zoo.model import Logits, Model
from explorer.zoo.text import TextModel

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
WORDS = (
    "the", "a", "red", "blue", "ring", "star", "sees", "likes", "near", "cat", "dog", "it", "she", "he", "was", "and",
    "runs", ".", ",", "2021", "03",
)  # fmt: skip
VOCABULARY = (*SPECIAL, *WORDS)
TEXT = "the cat sees a red ring and it likes the star ."
SIZE = len(VOCABULARY)
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": SIZE}
SELF = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
BOTH = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}  # fmt: skip

FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {  # name → class, task, config
    "bert": ("BertForMaskedLM", "fill-mask", SELF | {"max_position_embeddings": 40}),
    "gpt2": ("GPT2LMHeadModel", "text-generation", {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 40}),
    "llama": ("LlamaForCausalLM", "text-generation", SELF | {"num_key_value_heads": 2}),
    "t5": (
        "T5ForConditionalGeneration", "text2text-generation",
        {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    ),
    "bart": ("BartForConditionalGeneration", "text2text-generation",
             BOTH | {"max_position_embeddings": 40, "decoder_start_token_id": 2, "forced_eos_token_id": None}),
    "classifier": ("BertForSequenceClassification", "text-classification",
                   SELF | {"max_position_embeddings": 40, "num_labels": 3}),
    "features": ("BertModel", "feature-extraction", SELF | {"max_position_embeddings": 40}),
    "neo": ("GPTNeoForCausalLM", "text-generation", {
        "hidden_size": 16, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": 40, "window_size": 4}),
    "bloom": ("BloomForCausalLM", "text-generation", {"hidden_size": 16, "n_layer": 2, "n_head": 4}),
    "mamba": ("MambaForCausalLM", "text-generation", {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4}),
}  # fmt: skip
WATCHED = ("bert", "gpt2", "llama", "t5", "bart")


def seeded(make: Any, seed: int = 0) -> Any:
    """What `make` builds from random weights of this seed, larger than a training would begin with."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = make()
        for weight in net.parameters():
            nn.init.normal_(weight, 0.0, 0.3)
    return net


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Words, split at spaces, each one token; a text stands between <s> and </s>."""
    plain = Tokenizer(models.WordLevel({word: number for number, word in enumerate(VOCABULARY)}, "<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    plain.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    names = dict(zip(("pad", "bos", "eos", "unk", "mask"), SPECIAL, strict=True))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, **{f"{name}_token": word for name, word in names.items()}
    )


def net(family: str, implementation: str = "", seed: int = 0) -> nn.Module:
    """A tiny network of a family; its attention is watched where its kind can be, unless another way is named."""
    name, _, values = FAMILIES[family]
    kind = getattr(transformers, name)
    config = kind.config_class(**IDS | values)
    other = family in ("neo", "bloom", "mamba")
    config._attn_implementation = implementation or ("eager" if other else heads.implementation())
    return seeded(lambda: kind(config), seed).eval()


def wrap(module: nn.Module, task: str, labels: tuple[str, ...] = ("a", "b", "c"), longest: int = 40) -> TextModel:
    """A network as an opened language model with a card written by hand."""
    count = sum(weight.numel() for weight in module.parameters())
    labels = labels if task == "text-classification" else ()
    card = Card(f"file:{type(module).__name__}", "tiny", task, "tiny", count, (longest,), labels, (), ())
    return TextModel(card, module, tokenizer())


@functools.cache
def text(family: str, seed: int = 0) -> TextModel:
    """A tiny language model of a family."""
    return wrap(net(family, seed=seed), FAMILIES[family][1])


def vision(module: nn.Module, side: int = 32, classes: int = 3) -> Model:
    """A network as an opened classifier of pictures."""
    labels = tuple(f"class {number}" for number in range(classes))
    count = sum(weight.numel() for weight in module.parameters())
    card = Card("file:vision", "tiny", "image-classification", "tiny", count, (3, side, side), labels,
                (0.5,) * 3, (0.25,) * 3)  # fmt: skip
    return Model(card, module)


def ours(side: int = 32) -> Model:
    """A vision transformer of ours, 4×4 patches and a class token, three layers of four heads."""
    return vision(
        seeded(lambda: own.build("vit", shape=(3, side, side), classes=3, patch=8, width=32, depth=3, heads=4)), side
    )


def hub(name: str = "ViT", implementation: str = "eager", **values: Any) -> Model:
    """A classifier of pictures of transformers, in the form in which it is opened."""
    kind = getattr(transformers, f"{name}ForImageClassification")
    config = kind.config_class(**SELF | {"image_size": 32, "patch_size": 8, "num_labels": 3} | values)
    config._attn_implementation = implementation
    return vision(Logits(seeded(lambda: kind(config)).eval()))


def torchvision_vit() -> Model:
    """torchvision's vision transformer, whose attention is one fused kernel."""
    from torchvision.models import VisionTransformer

    return vision(seeded(lambda: VisionTransformer(32, 8, 2, 4, 16, 32, num_classes=3)).eval())


def picture(side: int = 32, seed: int = 0) -> np.ndarray:
    """Noise, uint8 (side, side, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def bare(family: str, seed: int = 0, **inputs: Any) -> Any:
    """What transformers itself gives: the same weights in its own eager attention, every output asked for."""
    module = net(family, "eager", seed)
    with torch.no_grad():
        return module(**inputs, output_attentions=True)


def hooks(module: nn.Module) -> int:
    """The hooks of a network, of every kind."""
    return sum(len(value) for part in module.modules() for name, value in vars(part).items() if name.endswith("_hooks"))
