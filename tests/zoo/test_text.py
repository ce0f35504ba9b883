"""Texts as tokens: readable, framed as each tokenizer frames them, cut where a network ends, whatever is typed."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from explorer import zoo
from explorer.errors import ExplorerError
from tests.zoo.conftest import NETS, make_tokenizer, save_text

TYPED = (
    "a", "😀👩‍🔬🏳️‍🌈", "مرحبا بالعالم", "שלום \u202eabc", "a\x00b\x1b[31m", "\ud800 x", "日本語",
    "cat " * 25_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for kind in NETS.keys() - {"mamba", "longformer"}:
        save_text(folder / kind, kind)
    return folder


@pytest.fixture
def opened(originals, shelf):
    """Call it with a kind: the opened model."""
    return lambda kind: zoo.load(f"file:{originals / kind}")


def test_special_tokens_stand_where_the_tokenizer_puts_them(opened):
    encoded = opened("bert").encode("The cats", "a dog")
    assert encoded.tokens == ("<s>", "the", "cat", "##s", "</s>", "a", "dog", "</s>")
    assert encoded.words == (None, 0, 1, 1, None, 2, 3, None)
    assert encoded.segments == (0, 0, 0, 0, 0, 1, 1, 1)
    assert encoded.inputs["token_type_ids"].tolist() == [list(encoded.segments)]
    assert encoded.inputs["attention_mask"].tolist() == [[1] * 8]
    assert opened("bert").encode("the cat", "   ").tokens == ("<s>", "the", "cat", "</s>")
    assert opened("gpt2").encode("the cat").tokens == ("the", "·cat")
    assert opened("t5").encode("the").tokens[-1] == "</s>"


def test_the_numbers_are_those_of_the_tokenizer(opened):
    for kind in ("bert", "roberta", "gpt2", "t5", "llama"):
        model = opened(kind)
        assert model.encode("the cat, 42 dogs").ids == model.tokenizer("the cat, 42 dogs")["input_ids"]
    assert opened("bert").encode("the", "cat").ids == opened("bert").tokenizer("the", "cat")["input_ids"]


@pytest.mark.parametrize(
    ("kind", "text", "tokens"),
    [
        ("gpt2", "cat\n\tdog", ("cat", "⏎", "⇥", "do", "g")),
        ("gpt2", "é", ("⟨0xC3⟩", "⟨0xA9⟩")),
        ("gpt2", "a\x07\u200fb", ("a", "⟨U+0007⟩", "⟨0xE2⟩", "⟨0x80⟩", "⟨0x8F⟩", "b")),
        ("bert", "don't", ("<s>", "don", "'", "t", "</s>")),
        ("bert", "the <mask>", ("<s>", "the", "<mask>", "</s>")),
    ],
)
def test_tokens_are_readable(opened, kind, text, tokens):
    assert opened(kind).encode(text).tokens == tokens


def test_pieces_show_spaces_bytes_and_characters(shelf, tmp_path):
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    save_text(tmp_path / "llama", "llama")
    words = ["<unk>", "▁the", "<0xF0>", "<0x0A>", "Ġcat", "▁▁", "\u200f", "👩\u200d🔬"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.decoder = decoders.Metaspace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(tmp_path / "llama")
    model = zoo.load(f"file:{tmp_path / 'llama'}")
    shown = [model.token(number) for number in range(len(words))]
    assert shown == ["<unk>", "·the", "⟨0xF0⟩", "⏎", "Ġcat", "··", "⟨U+200F⟩", "👩\u200d🔬"]
    assert model.token(300) == "⟨300⟩"


def test_a_whole_emoji_of_several_bytes_is_itself(shelf, tmp_path):
    from explorer.zoo.text import _shown, _spelled

    assert _shown(_spelled("Ġð٣Ģ")) == _shown("Ġð٣Ģ".encode())  # a letter that stands for no byte: as it is
    assert _shown(_spelled("ĠðŁĺĢ")) == "·😀"
    assert _shown(_spelled("ðŁĺ")) == "⟨0xF09F98⟩"
    assert _shown(_spelled("ĢĠa")) == "⟨0x80⟩·a"
    assert all(_spelled(chr_) for chr_ in make_tokenizer("bytes").get_vocab())


def test_words_that_the_vocabulary_does_not_have_are_named_as_typed(opened):
    encoded = opened("bert").encode("the Zebra! 😀 saw the Zebra, 日 cat", "ZEBRA")
    assert encoded.unknown == ("Zebra", "!", "😀", "日", "ZEBRA")
    assert opened("bert").encode("the <unk>").unknown == ()
    assert opened("gpt2").encode("Zebra 😀").unknown == ()


def test_words_are_counted_over_both_texts(opened):
    assert opened("gpt2").encode("hello moon.").words == (0, 1, 2)
    assert opened("bert").encode("cats don't", "the cat").words == (None, 0, 0, 1, 2, 3, None, 4, 5, None)
    encoded = opened("t5").encode("the red cat")
    assert encoded.words[-1] is None
    starts = [number for number, token in enumerate(encoded.tokens) if token.startswith("·")]
    assert [encoded.words[number] for number in starts] == [0, 1, 2]


def test_a_tokenizer_that_does_not_split_at_spaces_still_has_words(shelf, tmp_path):
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    save_text(tmp_path / "llama", "llama")
    letters = {letter: number for number, letter in enumerate(("<unk>", "▁", *"abc"))}
    tokenizer = Tokenizer(models.BPE(letters, [], unk_token="<unk>"))  # as Llama's: one piece, spaces written as ▁
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Metaspace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(tmp_path / "llama")
    encoded = zoo.load(f"file:{tmp_path / 'llama'}").encode("ab c a")
    assert encoded.tokens == ("·", "a", "b", "·", "c", "·", "a")
    assert encoded.words == (0, 0, 0, 1, 1, 2, 2)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
@pytest.mark.parametrize("text", ["", " ", "\n\t  ", "\u3000"])
def test_nothing_is_refused(opened, kind, text):
    with pytest.raises(ExplorerError, match="it is empty"):
        opened(kind).encode(text)


def test_a_text_of_which_nothing_is_left_is_refused(opened):
    with pytest.raises(ExplorerError, match="nothing in it that this model reads"):
        opened("bert").encode("\x00\x01\u200b")


@pytest.mark.parametrize("kind", sorted(NETS.keys() - {"mamba", "longformer"}))
@pytest.mark.parametrize(
    "text",
    ["a", "😀👩‍🔬🏳️‍🌈", "مرحبا بالعالم", "שלום \u202eabc", "a\x00b\x1b[31m", "\ud800 x", "日本語", "cat " * 25_000],
)
def test_whatever_is_typed_goes_through_the_network(opened, kind, text):
    model = opened(kind)
    encoded = model.encode(text)
    assert 0 < len(encoded.tokens) <= model.longest
    assert len(encoded.tokens) == len(encoded.words) == len(encoded.segments) == len(encoded.ids)
    assert not any(character in "\x00\x1b\u202e" for token in encoded.tokens for character in token)
    if model.card.task != "feature-extraction":
        assert torch.isfinite(model.logits(encoded)).all()


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_a_long_text_is_cut_and_says_by_how_much(opened, kind):
    model = opened(kind)
    text = "the cat sat on the mat . " * 4000  # 100,000 characters
    start = time.perf_counter()
    encoded = model.encode(text)
    assert time.perf_counter() - start < 20
    assert len(encoded.tokens) == model.longest
    whole = len(model.tokenizer(text)["input_ids"])
    assert abs(len(encoded.tokens) + encoded.cut - whole) < 0.02 * whole
    short = "the cat " * model.longest
    assert model.encode(short).cut == len(model.tokenizer(short)["input_ids"]) - model.longest
    if kind != "gpt2":
        assert encoded.tokens[-1] == "</s>"  # the end is still there


def test_of_two_long_texts_both_are_read(opened):
    model = opened("bert")
    both = model.encode("cat " * 200, "dog " * 200)
    assert (both.tokens.count("cat"), both.tokens.count("dog")) == (31, 30)
    assert both.cut == 400 - 61
    one = model.encode("cat " * 200, "dog " * 3)
    assert (one.tokens.count("cat"), one.tokens.count("dog")) == (58, 3)
    other = model.encode("cat " * 3, "dog " * 200)
    assert (other.tokens.count("cat"), other.tokens.count("dog")) == (3, 58)
    assert len(both.tokens) == len(one.tokens) == len(other.tokens) == 64


def test_the_longest_text_is_what_the_positions_and_the_server_allow(originals, configure, shelf):
    longest = {kind: zoo.load(f"file:{originals / kind}").longest for kind in ("bert", "roberta", "opt", "t5", "bloom")}
    assert longest == {"bert": 64, "roberta": 62, "opt": 64, "t5": 512, "bloom": 512}
    configure(EXPLORER_TOKENS="16")
    assert zoo.load(f"file:{originals / 't5'}").encode("cat " * 20).inputs["input_ids"].shape == (1, 16)


def test_a_decoder_refuses_a_second_text(opened):
    with pytest.raises(ExplorerError, match="has no place for another"):
        opened("gpt2").encode("the cat", "a dog")


@pytest.mark.parametrize("kind", ["t5", "bart", "marian"])
def test_an_encoder_decoder_is_told_what_to_say(opened, kind):
    model = opened(kind)
    encoded = model.encode("the cat", "a dog")
    assert "".join(encoded.target.tokens).replace("</s>", "").strip("·") == "a·dog"
    said = [number for number in encoded.target.ids if number != model.end_id]
    logits = model.logits(encoded)
    assert logits.shape == (1 + len(said), 330)
    torch.testing.assert_close(logits, model.logits(encoded, [model.start_id, *said]))
    torch.testing.assert_close(model.logits(model.encode("the cat")), logits[:1], rtol=1e-4, atol=1e-5)
    with model.borrow() as net, torch.inference_mode():
        reference = net(**encoded.inputs, labels=torch.tensor([[*said, 3]])).logits[0]  # transformers shifts them
    torch.testing.assert_close(logits, reference, rtol=1e-4, atol=1e-5)


def test_answers_are_those_of_the_network(opened):
    for kind in ("bert", "gpt2"):
        model = opened(kind)
        encoded = model.encode("the cat")
        with model.borrow() as net, torch.inference_mode():
            torch.testing.assert_close(model.logits(encoded), net(**encoded.inputs).logits[0])


def test_a_classifier_of_texts_gives_probabilities(opened):
    model = opened("bert-classes")
    probabilities = model.predict(["the cat", "a dog"])
    assert probabilities.shape == (2, 2)
    assert probabilities.sum(1) == pytest.approx([1, 1])
    with pytest.raises(ExplorerError, match="it is a language model"):
        opened("bert").predict("the cat")


def test_tokens_go_back_to_text(opened):
    for kind in ("bert", "gpt2", "t5"):
        model = opened(kind)
        assert model.decode(model.encode("the cat sat").ids) == "the cat sat"


def test_the_numbers_of_special_tokens(opened):
    bert, gpt, t5 = opened("bert"), opened("gpt2"), opened("t5")
    assert (bert.mask_token, gpt.mask_token, bert.pad_id) == ("<mask>", None, 0)
    assert (t5.start_id, t5.end_id) == (0, 1)
    assert gpt.end_id == 3


def test_pictures_and_numbers_are_no_texts(opened):
    with pytest.raises(ExplorerError, match="it is a list"):
        opened("bert").preprocess(["the cat"])
    assert opened("bert").preprocess("the cat").shape == (1, 4)


def test_many_threads_encode_at_once(opened):
    model = opened("bert")
    texts = ["cat " * (1 + number % 90) for number in range(200)]
    alone = [model.encode(text).ids for text in texts]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda text: model.encode(text).ids, texts)) == alone


def test_a_tokenizer_file_that_cuts_and_fills_does_neither_here(shelf, tmp_path):
    save_text(tmp_path / "bert", "bert")
    tokenizer = make_tokenizer("words")
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=32)
    tokenizer.backend_tokenizer.save(str(tmp_path / "bert" / "tokenizer.json"))
    assert len(zoo.load(f"file:{tmp_path / 'bert'}").encode("the cat sat on the mat").tokens) == 8


def test_to_know_what_there_is_needs_no_torch():
    code = (
        "import sys; from explorer import zoo; from explorer.zoo import catalogue, saved, saved_text; zoo.cards(); "
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
