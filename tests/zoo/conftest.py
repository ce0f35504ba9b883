"""A tiny model of ours on disk, and settings for a test."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from explorer import zoo
from explorer.settings import read
from explorer.zoo import catalogue, own, pictures, saved_diffusion, saved_images, saved_text
from explorer.zoo.card import Card
from explorer.zoo.sources import base, file, hf, torchvision
from explorer.zoo.sources import zoo as shipped_source
from explorer.zoo.store import Store
from tests.zoo.hf_hub import Hub, point_to


@pytest.fixture
def configure(monkeypatch, tmp_path):
    """Call it with environment variables: the zoo then runs under those settings, with an empty store."""

    def use(**environment: str):
        made = read({"EXPLORER_MODE": "cpu", "EXPLORER_DATA": str(tmp_path / "data"), **environment})
        for module in (
            own,
            pictures,
            saved_diffusion,
            saved_images,
            saved_text,
            catalogue,
            base,
            file,
            hf,
            torchvision,
            zoo,
        ):
            monkeypatch.setattr(module, "settings", lambda: made)
        store = Store(made.limits.store)
        monkeypatch.setattr(zoo, "_store", lambda: store)
        return made

    use()
    return use


def tiny_card(**changes) -> Card:
    """The card of a LeNet for 8×8 grey pictures."""
    values = {
        "ref": "", "title": "tiny", "task": "image-classification", "architecture": "lenet", "settings": {"width": 4},
        "parameters": 1_000, "shape": (1, 8, 8), "labels": ("a", "b", "c"), "mean": (0.5,), "std": (0.25,),
    }  # fmt: skip
    return Card(**{**values, **changes})


def write_own(folder: Path, weights: str = "model.safetensors", seed: int = 0, half: bool = False, **changes) -> Path:
    """Write a card and the weights of a network of ours; returns the weights file."""
    from safetensors.torch import save_file

    from explorer import models

    card = tiny_card(**changes)
    module = models.build(card.architecture, card.shape, len(card.labels), seed=seed, **card.settings)
    card = replace(card, parameters=sum(p.numel() for p in module.parameters()))
    path = folder / weights
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(json.dumps(card.to_json()))
    state = {name: value.half() if half and value.is_floating_point() else value
             for name, value in module.state_dict().items()}  # fmt: skip
    save_file(state, path)
    return path


@pytest.fixture
def shelf(configure, monkeypatch, tmp_path):
    """An empty folder in place of the shipped models."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(shipped_source, "SHIPPED", folder)
    return folder


@pytest.fixture
def empty_hub(monkeypatch, tmp_path):
    """A hub that holds nothing yet, and an empty folder for downloads."""
    from huggingface_hub import constants

    made = Hub()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    point_to(monkeypatch, made.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def save_tiny(folder: Path, kind: str, seed: int = 0) -> None:
    """Save a tiny transformers image classifier of 32×32 pictures and its image processor."""
    import torch
    from transformers import (
        DeiTConfig,
        DeiTForImageClassification,
        ResNetConfig,
        ResNetForImageClassification,
        ViTConfig,
        ViTForImageClassification,
    )
    from transformers import ViTImageProcessor as Processor

    labels = dict(enumerate(("cat", "dog", "emu")))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "resnet":
            net = ResNetForImageClassification(
                ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", id2label=labels)
            )
        else:
            config, architecture = {
                "vit": (ViTConfig, ViTForImageClassification),
                "deit": (DeiTConfig, DeiTForImageClassification),
            }[kind]
            net = architecture(
                config(
                    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32,
                    patch_size=8, id2label=labels,
                )
            )  # fmt: skip
    net.save_pretrained(folder)
    Processor(size={"height": 32, "width": 32}).save_pretrained(folder)


CORPUS = ("the cat sat on the mat .", "a dog saw the red cat", "hello world , hello moon", "we don't know 42 dogs")


def make_tokenizer(kind: str):
    """A small fast tokenizer: `words` frames as BERT does, `bytes` as GPT-2, `pieces` as T5 (an end, no start)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    if kind == "words":
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=90, special_tokens=special, show_progress=False)
        frame = {"single": "<s> $A </s>", "pair": "<s> $A </s> $B:1 </s>:1"}
    elif kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=320, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )  # fmt: skip
        frame = {}
    else:
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="<unk>", show_progress=False)
        frame = {"single": "$A </s>", "pair": "$A </s> $B </s>"}
    made.train_from_iterator(CORPUS, trainer)
    if frame:
        made.post_processor = processors.TemplateProcessing(**frame, special_tokens=[("<s>", 2), ("</s>", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        mask_token="<mask>",
    )  # fmt: skip


SIZES = {
    "vocab_size": 330, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3,
}  # fmt: skip
BOTH = {
    "vocab_size": 330, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 3, "forced_eos_token_id": None,
}  # fmt: skip
NETS = {  # kind → class of transformers, the config's keywords, its tokenizer
    "bert": ("BertForMaskedLM", SIZES, "words"),
    "bert-encoder": ("BertModel", SIZES, "words"),
    "bert-tags": ("BertForTokenClassification", SIZES, "words"),
    "bert-classes": ("BertForSequenceClassification", SIZES | {"id2label": {0: "kind", 1: "unkind"}}, "words"),
    "distilbert": (
        "DistilBertForMaskedLM",
        {"vocab_size": 330, "dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 32, "max_position_embeddings": 64},
        "words",
    ),
    "roberta": ("RobertaForMaskedLM", SIZES | {"pad_token_id": 1, "type_vocab_size": 1}, "bytes"),
    "gpt2": (
        "GPT2LMHeadModel",
        {"vocab_size": 330, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64, "eos_token_id": 3},
        "bytes",
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", SIZES, "bytes"),
    "opt": (
        "OPTForCausalLM",
        {k: v for k, v in SIZES.items() if k != "intermediate_size"} | {"ffn_dim": 32, "word_embed_proj_dim": 16},
        "bytes",
    ),
    "llama": ("LlamaForCausalLM", SIZES | {"num_key_value_heads": 2}, "pieces"),
    "qwen2": ("Qwen2ForCausalLM", SIZES | {"num_key_value_heads": 2, "tie_word_embeddings": True}, "bytes"),
    "t5": (
        "T5ForConditionalGeneration",
        {"vocab_size": 330, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4,
         "decoder_start_token_id": 0},
        "pieces",
    ),
    "t5-encoder": (
        "T5EncoderModel",
        {"vocab_size": 330, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4},
        "pieces",
    ),
    "bart": ("BartForConditionalGeneration", BOTH, "bytes"),
    "marian": ("MarianMTModel", BOTH, "pieces"),
    "gpt_neo": (
        "GPTNeoForCausalLM",
        {"vocab_size": 330, "hidden_size": 16, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 64,
         "attention_types": [[["global", "local"], 1]], "window_size": 4, "bos_token_id": 2, "eos_token_id": 3},
        "bytes",
    ),
    "bloom": ("BloomForCausalLM", {"vocab_size": 330, "hidden_size": 16, "n_layer": 2, "n_head": 4}, "bytes"),
    "mamba": (
        "MambaForCausalLM",
        {"vocab_size": 330, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "eos_token_id": 3},
        "bytes",
    ),
    "longformer": ("LongformerForMaskedLM", SIZES | {"attention_window": 4}, "bytes"),
}  # fmt: skip


def save_text(folder: Path, kind: str, seed: int = 0, tokenizer: str | None = None, half: bool = False) -> None:
    """Save a tiny language model of `NETS` and its tokenizer."""
    import torch
    import transformers

    name, settings, words = NETS[kind]
    architecture = getattr(transformers, name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = architecture(architecture.config_class(**settings))
        for weight in net.parameters():  # a fresh network looks at everything alike
            torch.nn.init.normal_(weight, std=0.3)
    (net.half() if half else net).save_pretrained(folder)
    make_tokenizer(tokenizer or words).save_pretrained(folder)
