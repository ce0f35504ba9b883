"""What looking into heads costs here, beside the bare call of the same network, in the same run."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

from explorer import data, heads, zoo
from explorer.attention import AttentionPatterns, Part, attend, sweep
from explorer.ui.attention_views import encode
from explorer.zoo.card import Card
from explorer.zoo.text import TextModel
from tests.benchmarks.server import server, visit
from tests.benchmarks.timing import against
from tests.browser.conftest import QUIET
from tests.browser.find import browser
from tests.browser.test_attention_views import SCRIPT

REPEATS = 61
CLICKS = 5
BUDGETS = {66: "≤ 0.5 MB", 122: "≤ 1.5 MB"}  # tokens → bytes of the first view


def rows() -> Iterator[tuple[str, str, str]]:
    """(what, measured, target), one after the other."""
    for ref in ("zoo:story-gpt", "zoo:story-bert", "zoo:dates-seq2seq"):
        model = zoo.load(ref)
        test = data.load(model.card.dataset, "test")
        yield _against_bare(model, test.texts[0], test.answers[0] if test.answers else None)
    large = _bert_base()
    yield _against_bare(large, " ".join(["word"] * 60), None)
    rng = np.random.default_rng(0)
    for tokens, target in BUDGETS.items():
        words = tuple(f"word{place}" for place in range(tokens))
        scores = rng.normal(size=(6, 12, tokens, tokens)) * 2
        weights = (np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)).astype(np.float32)
        found = AttentionPatterns("made", (Part("self", words, words, weights, causal=False),))
        start = time.perf_counter()
        sent = len(json.dumps(encode(found)))
        took = 1000 * (time.perf_counter() - start)
        what = f"first view of 6 layers × 12 heads, {tokens} tokens: sent to the browser"
        yield what, f"{sent / 1e6:.2f} MB, made in {took:.0f} ms", target
    text = data.load("story", "test").texts[0]
    start = time.perf_counter()
    swept = sweep("zoo:story-gpt", text)
    yield (
        f"every head of zoo:story-gpt taken away once ({swept.passed} inputs)",
        f"{time.perf_counter() - start:.2f} s",
        "",
    )
    yield _new_sentence()
    yield _hover()


def _against_bare(model: TextModel, text: str, answer: str | None) -> tuple[str, str, str]:
    """attend() beside the same network asked for its attentions, both from the text on."""

    def bare() -> object:
        encoded = model.encode(text, answer)
        more = {}
        if answer is not None:
            said = [model.start_id, *encoded.target.ids[:-1]]
            more["decoder_input_ids"] = torch.tensor([said])
        with torch.inference_mode():
            return net(**encoded.inputs, **more, output_attentions=True, use_cache=False)

    with model.borrow() as net:
        ratio, ours = against(lambda: attend(model, text, answer), bare, REPEATS)
    tokens = len(model.encode(text).tokens)
    what = f"attend() ÷ the bare call with output_attentions, {model.card.ref}, {tokens} tokens"
    return what, f"{ratio:.2f} ({1000 * ours:.1f} ms)", "≤ 1.05"


def _bert_base() -> TextModel:
    """A random network of BERT-base's size, as nothing can be downloaded here."""
    from transformers import BertConfig, BertForMaskedLM

    from explorer.data.text import SPECIAL, tokenizer, vocabulary
    from explorer.zoo.own import framed

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = BertForMaskedLM(BertConfig(vocab_size=1000, attn_implementation=heads.implementation())).eval()
    words = vocabulary(["word"])
    card = Card("file:bert-base-sized", "random BERT-base", "fill-mask", "bert", net.num_parameters(), (512,),
                (*SPECIAL, "word"), (), ())  # fmt: skip
    return TextModel(card, net, framed(tokenizer(words), "encoder", 512))


def _new_sentence() -> tuple[str, str, str]:
    """From the click that sends a new sentence to its last drawn view, on a warm server."""
    texts = data.load("story", "test").texts[10 : 10 + CLICKS + 2]
    with sync_playwright() as playwright, server() as (_, address, _):
        chromium = playwright.chromium.launch(executable_path=browser(), args=QUIET)
        page = visit(chromium, f"{address}/attention", "canvas")
        page.wait_for_timeout(5000)
        seconds = [_ask(page, text) for text in texts][2:]  # the first two warm up
        chromium.close()
    times = ", ".join(f"{one:.2f}" for one in seconds)
    what = "a new sentence on zoo:story-gpt, click → its links drawn in Chromium, warm"
    return what, f"{statistics.median(seconds):.2f} s ({times})", "≤ 0.5 s"


def _ask(page: Page, text: str) -> float:
    """Write a text and leave the box; seconds until the last of its words stands in the component."""
    page.get_by_label("Text", exact=True).fill(text)
    begun = time.perf_counter()
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        """words => [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")].some(place => {
            const labels = [...(place.shadowRoot?.querySelectorAll(".queries .token") ?? [])]
            return labels.length === words.length + 1 && words.every((word, i) => labels[i + 1].textContent === word)
        })""",
        arg=text.split(),
    )
    return time.perf_counter() - begun


HOVER = """async () => {
    const root = document.querySelector("[data-testid=stBidiComponentIsolated]").shadowRoot
    const loom = root.querySelector(".loom"), tokens = [...root.querySelectorAll(".queries .token")], taken = []
    const painted = () => new Promise(done => requestAnimationFrame(() => {
        const channel = new MessageChannel()
        channel.port1.onmessage = done
        channel.port2.postMessage(0) // comes after this frame is painted
    }))
    for (let i = 0; i < 30; i++) {
        const box = tokens[i].getBoundingClientRect()
        const start = performance.now()
        loom.dispatchEvent(new PointerEvent("pointermove", { clientX: box.x + 20, clientY: box.y + 8, bubbles: true }))
        await painted()
        taken.push(performance.now() - start)
        if (!tokens[i].classList.contains("on")) throw new Error("not isolated")
    }
    return taken
}"""


def _hover() -> tuple[str, str, str]:
    """From the pointer on a token to its links painted alone, all heads of a layer in sight."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = Path(folder) / "views.py"
        script.write_text(dedent(SCRIPT), encoding="utf-8")
        with server(script) as (_, address, _):
            chromium = playwright.chromium.launch(executable_path=browser(), args=QUIET)
            page = visit(chromium, f"{address}/?kind=large&view=heads", ".stage > *")
            page.get_by_role("button", name="All", exact=True).click()
            page.wait_for_timeout(1500)
            taken = sorted(page.evaluate(HOVER))
            chromium.close()
    what = "hover → painted in Chromium, 12 heads of a layer, 66 tokens: median (worst)"
    return what, f"{statistics.median(taken):.0f} ms ({taken[-1]:.0f})", "≤ 50 ms"


if __name__ == "__main__":
    for row in rows():
        print("| " + " | ".join(row) + " |", flush=True)
