"""`file:` and `zoo:` language models: the same numbers as transformers' own, and folders that can't be opened."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from explorer import zoo
from explorer.errors import ExplorerError
from explorer.heads import NAME, watch
from explorer.zoo.card import Card
from tests.zoo.conftest import NETS, make_tokenizer, save_text, save_tiny

WATCHED = (
    "bert", "distilbert", "roberta", "gpt2", "gpt_neox", "opt", "t5", "bart", "marian", "llama", "qwen2",
)  # fmt: skip
TASKS = {
    "bert": "fill-mask", "bert-encoder": "feature-extraction", "bert-tags": "feature-extraction",
    "t5-encoder": "feature-extraction", "bert-classes": "text-classification", "roberta": "fill-mask",
    "gpt2": "text-generation",
    "llama": "text-generation", "t5": "text2text-generation", "marian": "text2text-generation",
}  # fmt: skip


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for kind in NETS:
        save_text(folder / kind, kind)
    return folder


@pytest.fixture
def folder(originals, tmp_path, shelf):
    """Call it with a kind: a copy to open or to damage."""

    def copied(kind: str):
        shutil.copytree(originals / kind, tmp_path / "saved" / kind)
        return tmp_path / "saved" / kind

    return copied


def eager(folder, kind: str):
    """The same network as transformers opens it, with its own attention."""
    import transformers

    return getattr(transformers, NETS[kind][0]).from_pretrained(folder, attn_implementation="eager").eval()


def attentions(answer) -> list[torch.Tensor]:
    names = ("attentions", "encoder_attentions", "decoder_attentions", "cross_attentions")
    return [weights for name in names for weights in answer.get(name) or ()]


@pytest.mark.parametrize("kind", [*WATCHED, "gpt_neo", "bloom"])
def test_answers_and_weights_equal_those_of_eager_attention(folder, kind):
    path = folder(kind)
    model = zoo.load(f"file:{path}")
    inputs = model.encode("the cat sat on the red mat").inputs
    if model.kind == "encoder-decoder":
        inputs["decoder_input_ids"] = torch.tensor([[model.start_id, 7, 8, 9]])
    with torch.inference_mode():
        expected = eager(path, kind)(**inputs, output_attentions=True)
        with model.borrow() as net, watch(net) as calls:
            answer = net(**inputs, output_attentions=True)
    torch.testing.assert_close(answer.logits, expected.logits, rtol=1e-4, atol=1e-5)
    weights = attentions(expected)
    assert weights
    for one, other in zip(attentions(answer), weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    if kind in WATCHED:
        assert model.config._attn_implementation == NAME
        assert len(calls) == len(weights)
        for call in calls:
            assert any(torch.equal(call.weights, one) for one in attentions(answer))
    else:
        assert model.config._attn_implementation == "eager"
        assert not calls


@pytest.mark.parametrize("kind", ["vit", "deit"])
def test_watched_vision_transformers_answer_as_eager_ones(shelf, tmp_path, kind):
    import transformers

    save_tiny(tmp_path / kind, kind)
    model = zoo.load(f"file:{tmp_path / kind}")
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    reference = transformers.AutoModelForImageClassification.from_pretrained(
        tmp_path / kind, attn_implementation="eager"
    ).eval()
    with torch.inference_mode(), model.borrow() as module, watch(module) as calls:
        torch.testing.assert_close(module(x), reference(x).logits, rtol=1e-4, atol=1e-5)
        for call, weights in zip(calls, reference(x, output_attentions=True).attentions, strict=True):
            torch.testing.assert_close(call.weights, weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kind", "task"), TASKS.items())
def test_what_a_folder_holds_is_read_off_its_config(folder, kind, task):
    path = folder(kind)
    model = zoo.load(f"file:{path}")
    card = model.card
    assert (card.task, card.title, card.mean, card.std) == (task, kind, (), ())
    assert card.labels == (("kind", "unkind") if task == "text-classification" else ())
    assert card.shape == (model.longest,)
    assert {name: card.settings[name] for name in ("layers", "heads", "width")} == {
        "layers": 2,
        "heads": 4,
        "width": 16,
    }
    with model.borrow() as net:
        assert card.parameters == sum(weight.numel() for weight in net.parameters())


def test_tied_weights_are_not_missed(folder):
    path = folder("bert")
    names = load_file(path / "model.safetensors")
    assert "cls.predictions.decoder.weight" not in names
    with zoo.load(f"file:{path}").borrow() as net:
        assert net.cls.predictions.decoder.weight.data_ptr() == net.bert.embeddings.word_embeddings.weight.data_ptr()


def test_an_encoder_without_its_head_and_pooler_opens(folder):
    model = zoo.load(f"file:{folder('bert-tags')}")
    encoded = model.encode("the cat")
    with model.borrow() as net, torch.inference_mode():
        answer = net(**encoded.inputs)
    assert answer.last_hidden_state.shape == (1, len(encoded.tokens), 16)
    assert answer.get("pooler_output") is None
    with pytest.raises(ExplorerError, match="an encoder without a head"):
        model.logits(encoded)


def test_a_bare_decoder_and_a_bare_pair_open_with_their_tied_heads(folder):
    for kind, name, task in (("gpt2", "GPT2Model", "text-generation"), ("bart", "BartModel", "text2text-generation")):
        path = folder(kind)
        edit(architectures=[name])(path)
        assert zoo.load(f"file:{path}").card.task == task


def test_half_precision_on_disk_is_whole_in_memory(shelf, tmp_path):
    save_text(tmp_path / "half", "gpt2", half=True)
    model = zoo.load(f"file:{tmp_path / 'half'}")
    with model.borrow() as net:
        assert {weight.dtype for weight in net.parameters()} == {torch.float32}


@pytest.mark.parametrize("files", [{"vocab.txt"}, {"vocab.json", "merges.txt"}])
def test_a_vocabulary_alone_makes_a_fast_tokenizer(folder, files):
    path = folder("bert" if "vocab.txt" in files else "gpt2")
    (path / "tokenizer.json").unlink()
    (path / "tokenizer_config.json").unlink()
    if "vocab.txt" in files:
        (path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n##s\n")
        expected = ("[CLS]", "the", "cat", "##s", "[SEP]")
    else:
        vocabulary = {"<|endoftext|>": 0, "t": 1, "h": 2, "e": 3, "th": 4, "the": 5, "c": 6, "a": 7, "Ġ": 8, "s": 9}
        (path / "vocab.json").write_text(json.dumps(vocabulary))
        (path / "merges.txt").write_text("#version: 0.2\nt h\nth e\n")
        expected = ("the", "·", "c", "a", "t", "s")
    assert zoo.load(f"file:{path}").encode("the cats").tokens == expected


def test_a_model_saved_anew_is_loaded_anew(folder):
    path = folder("gpt2")
    before = zoo.load(f"file:{path}")
    assert zoo.load(f"file:{path}/") is before
    save_text(path, "gpt2", seed=1)
    after = zoo.load(f"file:{path}")
    assert not torch.equal(after.logits(after.encode("cat")), before.logits(before.encode("cat")))


def test_a_tokenizer_saved_anew_is_read_anew(folder):
    path = folder("bert")
    assert zoo.load(f"file:{path}").encode("zebra").unknown == ("zebra",)
    tokenizer = make_tokenizer("words")
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(path)
    assert zoo.load(f"file:{path}").encode("zebra").unknown == ()


def test_loads_at_the_same_time(folder):
    paths = [folder(kind) for kind in ("bert", "gpt2", "t5", "llama")]
    with ThreadPoolExecutor(4) as threads:
        models = list(threads.map(lambda path: zoo.load(f"file:{path}"), paths))
    assert [model.kind for model in models] == ["encoder", "decoder", "encoder-decoder", "decoder"]


def edit(**changes):
    def harm(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def without(*names):
    def harm(folder):
        for name in names:
            (folder / name).unlink()

    return harm


def only_sentencepiece(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "spiece.model").write_bytes(b"\x0a\x0e")


def headless(folder):
    path = folder / "model.safetensors"
    state = load_file(path)
    save_file({name: value for name, value in state.items() if "attention" not in name}, path, {"format": "pt"})


def poolerless(folder):
    path = folder / "model.safetensors"
    state = load_file(path)
    save_file({name: value for name, value in state.items() if "pooler" not in name}, path, {"format": "pt"})


def cut(name):
    def harm(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return harm


def wordless(folder):
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>")).save(str(folder / "tokenizer.json"))


def larger_vocabulary(folder):
    tokenizer = make_tokenizer("words")
    tokenizer.add_tokens([f"word{number}" for number in range(300)])
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("kind", "harm", "words"),
    [
        ("bert", without("tokenizer.json"), "its tokenizer is missing"),
        ("t5", only_sentencepiece, "sentencepiece file only"),
        ("bert", cut("tokenizer.json"), "its tokenizer is damaged"),
        ("bert", lambda folder: (folder / "tokenizer.json").write_text("{}"), "its tokenizer"),
        ("bert", wordless, "its tokenizer has no words"),
        ("bert", larger_vocabulary, r"counts up to token \d+, and its network knows 330"),
        ("bert", cut("model.safetensors"), "model.safetensors is damaged"),
        ("bert", without("model.safetensors"), "no weights as safetensors"),
        ("bert", headless, "of its weights are missing"),
        ("bert-classes", poolerless, "2 of its weights are missing, bert.pooler"),
        ("bert", edit(hidden_size=32), "other shapes"),
        ("bert", edit(num_attention_heads=0), "can't open it"),
        ("bert", edit(hidden_size="wide"), "can't open it"),
        ("bert", lambda folder: (folder / "config.json").write_text("{"), "config.json is missing or damaged"),
        ("bert", lambda folder: (folder / "config.json").write_text("[]"), "config.json is missing or damaged"),
        ("bert", edit(architectures=5), "config.json is missing or damaged"),
        ("bert", edit(model_type="evil"), "no language model that transformers knows"),
        ("bert", edit(model_type=None), "config.json is missing or damaged"),
        ("bert", edit(architectures=["BertForNothing"]), "no language model that transformers knows"),
        ("gpt2", edit(architectures=["GPT2ForSequenceClassification"]), "a classifier built on a decoder"),
        ("mamba", lambda folder: None, "no attention"),
        ("longformer", lambda folder: None, "no table of tokens by tokens"),
    ],
)
def test_a_folder_that_can_not_be_opened_is_refused(folder, kind, harm, words):
    path = folder(kind)
    harm(path)
    with pytest.raises(ExplorerError, match=words):
        zoo.load(f"file:{path}")
    assert zoo.held() == []


def test_a_network_without_attention_is_refused_even_under_another_name(folder, monkeypatch):
    from explorer.zoo import saved

    monkeypatch.setattr(saved, "UNATTENDING", ())
    with pytest.raises(ExplorerError, match="it has no attention"):
        zoo.load(f"file:{folder('mamba')}")


def test_code_in_the_folder_is_never_run(folder, tmp_path):
    path = folder("bert")
    (path / "evil.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')")
    edit(auto_map={"AutoModelForMaskedLM": "evil.Model", "AutoConfig": "evil.Config"})(path)
    settings = json.loads((path / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(
        json.dumps(settings | {"auto_map": {"AutoTokenizer": [None, "evil.Tokenizer"]}})
    )
    assert zoo.load(f"file:{path}").card.task == "fill-mask"
    assert not (tmp_path / "harm").exists()


def test_a_model_above_the_limit_is_refused_before_it_is_read(folder, configure, monkeypatch):
    path = folder("bert")
    configure(EXPLORER_PARAMETERS="100")
    with pytest.raises(ExplorerError, match="this server opens up to 100"):
        zoo.load(f"file:{path}")
    configure(EXPLORER_STORE="1000")
    with pytest.raises(ExplorerError, match="keeps for models"):
        zoo.load(f"file:{path}")


def test_masks_in_the_file_are_not_counted(folder, configure):
    path = folder("gpt2")
    state = load_file(path / "model.safetensors")
    state["transformer.h.0.attn.bias"] = torch.ones(1, 1, 256, 256, dtype=torch.bool)
    save_file(state, path / "model.safetensors", {"format": "pt"})
    configure(EXPLORER_PARAMETERS="20000")
    assert zoo.load(f"file:{path}").card.parameters == 12_896


def ship(shelf, kind: str, **changes) -> None:
    """Put a language model on the shelf, as `zoo:<kind>`."""
    save_text(shelf / kind / "pretrained", kind, half=True)
    values = {
        "ref": "", "title": f"Tiny {kind}", "task": TASKS[kind], "architecture": kind, "parameters": 12_000,
        "shape": (24,), "labels": (), "mean": (), "std": (), "dataset": "story", "made": "by a test", "seed": 3,
        "metrics": {"test accuracy": 0.5},
    }  # fmt: skip
    (shelf / kind / "card.json").write_text(json.dumps(Card(**(values | changes)).to_json()))


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_a_shipped_language_model_keeps_its_card(shelf, kind):
    ship(shelf, kind)
    assert [card.ref for card in zoo.cards(TASKS[kind])] == [f"zoo:{kind}"]
    model = zoo.load(f"zoo:{kind}")
    assert replace(model.card) == zoo.cards()[0]
    assert (model.card.ref, model.card.title, model.longest) == (f"zoo:{kind}", f"Tiny {kind}", 24)
    assert model.card.metrics == {"test accuracy": 0.5}
    assert model.encode("the cat " * 50).cut > 0
    assert model.logits(model.encode("the cat")).shape[1] == 330


def test_a_shipped_card_must_speak_of_the_same_task(shelf):
    ship(shelf, "gpt2", task="fill-mask")
    with pytest.raises(ExplorerError, match=r"its card says fill-mask, and its config\.json text"):
        zoo.load("zoo:gpt2")
