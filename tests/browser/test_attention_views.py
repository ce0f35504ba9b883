"""Attention in a real browser: hovered, clicked, read, reported. Run with `pytest -m browser`."""

import re
from textwrap import dedent

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.ui.test_attention_views import pair, seen, text, translation

pytestmark = pytest.mark.browser

SCRIPT = """
    import streamlit as st
    from dataclasses import replace
    from explorer.ui.attention_views import Selection, attention_views, choose
    from tests.ui.test_attention_views import pair, seen, text, translation

    HOSTILE = "<img src=x onerror=\\"document.title='taken'\\">"

    def hostile():
        whole = text()
        tokens = (HOSTILE, *whole.tokens[1:])
        return replace(whole, parts=(replace(whole.parts[0], queries=tokens, keys=tokens),))

    st.set_page_config(page_title="calm", layout="wide")
    asked = st.query_params
    patterns = {
        "text": text, "pair": pair, "translation": translation, "image": seen, "hostile": hostile,
        "bare": lambda: text(told=False),
        "large": lambda: text(6, 12, 66, False, size=64),
        "long": lambda: text(2, 3, 300, False, False),
        "heavy": lambda: text(4, 8, 400, False, False),
        "huge": lambda: text(1, 3, 1200, False, False),
    }[asked["kind"]]()
    if st.button("Other text"):
        st.session_state.seed = 5
    if seed := st.session_state.get("seed"):
        patterns = text(seed=seed)
    if st.button("Elsewhere"):
        choose("views", Selection("matrix", layer=1, heads=(3,)))
    roles = {part.name: [["previous token 0.93"] * part.heads] * part.layers for part in patterns.parts}
    start = Selection(asked.get("view", "grid"), asked.get("part", ""), heads=tuple(map(int, asked.get("heads", "0"))))
    other = text(seed=3) if "compare" in asked else None
    st.text(f"chosen {attention_views(patterns, 'views', start, roles, other)}")
    st.button("Again")
"""


@pytest.fixture(scope="module")
def views(serve, tmp_path_factory) -> str:
    """The address of a page with attention that the link chooses."""
    script = tmp_path_factory.mktemp("attention") / "small.py"
    script.write_text(dedent(SCRIPT), encoding="utf-8")
    return serve(script)


@pytest.fixture
def visit(views, open_page):
    """Opens it, and waits until it is drawn. `page.sent` holds what the page then says to the server."""

    def go(query: str, **window):
        page = open_page(f"{views}/_stcore/health", **window)
        page.faults, page.sent = [], []
        page.on("pageerror", lambda fault: page.faults.append(str(fault)))

        def note(frame):  # Playwright puts a mark on its listener, which a built-in method does not bear
            page.sent.append(frame)

        page.on("websocket", lambda socket: socket.on("framesent", note))
        page.goto(f"{views}/?{query}")
        expect(page.locator(".stage > *")).to_be_visible()
        expect(page.get_by_text("chosen Selection")).to_be_visible()
        page.wait_for_timeout(300)
        page.sent.clear()
        return page

    return go


def chosen(page, *said: str) -> None:
    for part in said:
        expect(page.get_by_text("chosen Selection")).to_contain_text(part)


def hover_cell(page, row: int, column: int, count: int, click: bool = False) -> None:
    cells = page.locator(".cells")
    box = cells.bounding_box()
    at = {"x": (column + 0.5) * box["width"] / count, "y": (row + 0.5) * box["height"] / count}
    cells.click(position=at) if click else cells.hover(position=at)


def hover_patch(page, row: int, column: int, click: bool = False) -> None:
    canvas = page.locator(".large canvas")
    box = canvas.bounding_box()
    at = {"x": (column + 0.5) * box["width"] / 6, "y": (row + 0.5) * box["height"] / 6}
    canvas.click(position=at) if click else canvas.hover(position=at)


def painted(page, selector: str) -> str:
    return page.locator(selector).first.evaluate("canvas => canvas.toDataURL()")


def links(page) -> int:
    return int(page.locator(".slider").get_attribute("data-links"))


@pytest.mark.parametrize(("kind", "view"), [("large", "grid"), ("large", "heads"), ("text", "matrix"),
                                            ("text", "arithmetic"), ("image", "image")])  # fmt: skip
def test_every_view_is_drawn_and_fits_the_window(visit, kind, view):
    page = visit(f"kind={kind}&view={view}")
    for width, scheme in ((1440, "light"), (400, "dark")):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert page.locator(".stage canvas:visible, .stage table").count()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.faults == []


def test_only_views_that_are_valid_are_offered(visit):
    page = visit("kind=text&view=image")
    assert page.locator(".toolbar").first.get_by_role("radio").count() == 4
    expect(page.get_by_role("radio", name="All heads")).to_be_checked()
    assert visit("kind=image").locator(".toolbar").first.get_by_role("radio").count() == 5


def test_hover_isolates_a_token_and_tells_nobody(visit):
    page = visit("kind=text&view=heads&heads=012")
    before = painted(page, ".loom canvas")
    page.locator(".queries .token").nth(9).hover()
    expect(page.locator(".side h5")).to_have_text("“saw” looks at")
    weights = text().weights[0, :3, 9].mean(0)
    assert float(page.locator(".side li b").first.inner_text()) == pytest.approx(weights.max(), abs=6e-4)
    assert painted(page, ".loom canvas") != before
    page.locator(".keys .token").nth(1).hover()
    expect(page.locator(".side h5")).to_have_text("Who looks at “cat”")
    page.mouse.move(2, 2)
    expect(page.locator(".side h5")).to_have_text("Strongest links")
    assert painted(page, ".loom canvas") == before
    page.wait_for_timeout(300)
    assert page.sent == []


@pytest.mark.parametrize("view", ["grid", "matrix", "arithmetic", "image"])
def test_no_view_tells_the_server_of_a_hover(visit, view):
    page = visit(f"kind={'image' if view == 'image' else 'text'}&view={view}")
    box = page.locator(".stage").bounding_box()
    for step in range(12):
        page.mouse.move(box["x"] + 40 + 25 * step, box["y"] + 60 + 20 * step)
    page.wait_for_timeout(400)
    assert (page.sent, page.faults) == ([], [])


def test_a_click_holds_a_token_in_every_view_and_escape_lets_go(visit):
    page = visit("kind=text&view=heads")
    page.locator(".queries .token").nth(9).click()
    chosen(page, "view='heads', part='self', layer=0, heads=(0,), token=9, key=None")
    page.mouse.move(2, 2)
    expect(page.locator(".side h5")).to_have_text("“saw” looks at")
    page.get_by_role("radio", name="Matrix").check()
    chosen(page, "view='matrix'", "token=9")
    expect(page.locator(".side h5")).to_have_text("“saw” looks at")
    page.locator(".stage .box").press("Escape")
    chosen(page, "token=None")
    expect(page.locator(".side h5")).to_have_text("Strongest links")


def test_heads_are_added_taken_away_and_isolated(visit):
    page = visit("kind=text&view=heads")
    page.get_by_role("button", name="Head 3").click()
    chosen(page, "heads=(0, 2)")
    page.get_by_role("button", name="Head 1").click()
    chosen(page, "heads=(2,)")
    page.get_by_role("button", name="All", exact=True).click()
    chosen(page, "heads=(0, 1, 2, 3)")
    page.get_by_role("button", name="Head 2").dblclick()
    chosen(page, "heads=(1,)")
    page.get_by_role("button", name="Head 4").click(modifiers=["Shift"])
    chosen(page, "heads=(3,)")
    page.get_by_role("button", name="One layer up").click()
    chosen(page, "layer=1", "heads=(3,)")
    expect(page.get_by_role("heading", name="Layer 2 · head 4")).to_be_visible()


def test_the_threshold_keeps_the_links_that_hold_a_share(visit):
    page = visit("kind=text&view=heads")
    slider = page.get_by_role("slider")
    rows = -np.sort(-text().weights[0, 0], -1)
    for share in (75, 50):
        slider.fill(str(share))
        expected = int(((rows.cumsum(-1) - rows) < share / 100 - 1e-6).sum())
        page.wait_for_function(
            "() => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
            f".querySelector('output').textContent === '{share}%'"
        )
        page.wait_for_timeout(100)
        assert links(page) == expected
    page.wait_for_timeout(200)
    assert page.sent == []


def test_a_thumbnail_opens_its_head_and_closes_it(visit):
    page = visit("kind=text")
    page.locator(".thumb").nth(6).hover()
    expect(page.locator(".tip")).to_contain_text("Layer 2 · head 3")
    expect(page.locator(".tip")).to_contain_text("previous token 0.93")
    page.locator(".thumb").nth(6).click()
    chosen(page, "view='matrix', part='self', layer=1, heads=(2,)")
    expect(page.get_by_role("heading", name="Layer 2 · head 3")).to_be_visible()
    page.get_by_role("button", name="Close this head").click()
    chosen(page, "view='grid'")
    page.locator(".thumb").nth(6).press("Enter")
    chosen(page, "view='matrix'")
    page.get_by_role("button", name="Close this head").press("Escape")
    chosen(page, "view='grid'")


@pytest.mark.parametrize(("row", "column"), [(15, 8), (4, 4)])
def test_the_matrix_reads_the_weight_and_the_row_sum(visit, row, column):
    patterns = text()
    page = visit("kind=text&view=matrix")
    hover_cell(page, row, column, 20)
    tip = page.locator(".tip")
    expect(tip).to_contain_text(f"{patterns.tokens[row]} → {patterns.tokens[column]}: ")
    expect(tip).to_contain_text("row sum 1.00")
    assert float(tip.locator("b").inner_text().split(": ")[1]) == pytest.approx(
        patterns.weights[0, 0, row, column], abs=6e-4
    )
    hover_cell(page, 3, 12, 20)
    expect(tip).to_contain_text("masked")
    hover_cell(page, row, column, 20, click=True)
    chosen(page, f"token={row}")


def test_several_heads_are_averaged_in_the_matrix(visit):
    page = visit("kind=text&view=matrix&heads=03")
    expect(page.get_by_role("heading", name="mean of heads 1, 4")).to_be_visible()
    hover_cell(page, 9, 7, 20)
    expect(page.locator(".tip b")).to_contain_text(" → ")
    value = float(page.locator(".tip b").inner_text().split(": ")[1])
    assert value == pytest.approx(text().weights[0, [0, 3], 9, 7].mean(), abs=6e-4)


def test_arrow_keys_move_and_enter_holds(visit):
    page = visit("kind=text&view=matrix")
    box = page.locator(".stage .box")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight"):
        box.press(key)
    expect(page.locator(".tip b")).to_contain_text("that → cat: ")
    box.press("Enter")
    chosen(page, "token=2")
    page.get_by_role("radio", name="Links").check()
    expect(page.get_by_role("group", name="Matrix of weights")).to_have_count(0)
    links = page.get_by_role("group", name="Links between tokens")
    links.press("ArrowDown")
    expect(page.locator(".side h5")).to_have_text("“the” looks at")
    links.press("Enter")
    chosen(page, "token=3")


@pytest.mark.parametrize("kind", ["text", "translation"])
def test_the_arithmetic_is_the_networks_own(visit, kind):
    patterns = text() if kind == "text" else translation()
    page = visit(f"kind={kind}&view=arithmetic")
    part, query = patterns.parts[0], 7
    page.get_by_label("Query", exact=True).select_option(str(query))
    chosen(page, f"token={query}")
    page.get_by_role("radio", name="Values → output").check()
    weights, detail = part.weights[0, 0, query], part.detail
    shown = page.locator("tbody tr[data-key] td.weight b").all_inner_texts()
    assert len(shown) == len(part.keys)
    for text_, weight in zip(shown, weights, strict=True):
        assert (0 if text_ == "masked" else float(text_)) == pytest.approx(weight, abs=1e-3)
    page.locator("tr[data-key='3']").click()
    chosen(page, "key=3")
    line = page.locator(".worked").inner_text().replace("−", "-")
    dot = float(detail.query[0, 0, query] @ detail.key[0, 0, 3])
    numbers = [float(found) for found in re.findall(r"= (-?[\d.]+)", line)]
    assert numbers[0] == pytest.approx(dot, abs=6e-3)
    assert numbers[1] == pytest.approx(dot / 8**0.5, abs=6e-3)
    assert numbers[-1] == pytest.approx(weights[3], abs=1e-3)
    assert f"exp = {np.exp(detail.scores[0, 0, query, 3]):.2f}" in line.replace("\n", " ")
    output = page.locator("tfoot canvas").evaluate("canvas => [...canvas.values]")
    np.testing.assert_allclose(output, detail.output[0, 0, query], atol=1e-3)
    products = page.locator("tr[data-key='3'] canvas").first.evaluate("canvas => [...canvas.values]")
    np.testing.assert_allclose(products, detail.query[0, 0, query] * detail.key[0, 0, 3], atol=1e-3)


def test_without_details_the_arithmetic_says_why(visit):
    page = visit("kind=bare&view=arithmetic")
    expect(page.locator(".refusal")).to_contain_text("does not tell its queries")


def test_the_arithmetic_of_a_large_network_is_fetched_head_by_head(visit):
    page = visit("kind=large")
    page.locator(".thumb").nth(14).click()
    page.get_by_role("radio", name="Arithmetic").first.check()
    chosen(page, "view='arithmetic', part='self', layer=1, heads=(2,)")
    rows = page.locator("tbody tr[data-key] td.weight b")
    expect(rows).to_have_count(66)
    weights = text(6, 12, 66, False, size=64).weights
    np.testing.assert_allclose([float(shown) for shown in rows.all_inner_texts()], weights[1, 2, 65], atol=1e-3)
    page.get_by_role("button", name="Head 5").click(modifiers=["Shift"])
    expect(page.get_by_role("heading", name="Layer 2 · head 5")).to_be_visible()
    expect(page.locator(".wait")).to_have_count(0)
    np.testing.assert_allclose([float(shown) for shown in rows.all_inner_texts()], weights[1, 4, 65], atol=1e-3)


def test_cross_attention_joins_two_texts(visit):
    page = visit("kind=translation&view=heads")
    page.get_by_role("radio", name="Cross").check()
    chosen(page, "part='cross'")
    expect(page.locator(".queries .token")).to_have_text(list(translation().part("cross").queries))
    expect(page.locator(".keys .token")).to_have_text(list(translation().part("cross").keys))


def test_sentences_are_filtered_and_special_tokens_hidden(visit):
    patterns = pair()
    page = visit("kind=pair&view=heads")
    page.get_by_role("radio", name="A→B").check()
    expect(page.locator(".queries .token")).to_have_text(list(patterns.tokens[:8]))
    expect(page.locator(".keys .token")).to_have_text(list(patterns.tokens[8:]))
    page.get_by_role("checkbox", name="Hide special tokens").check()
    expect(page.get_by_text("Rows renormalised")).to_be_visible()
    expect(page.locator(".queries .token")).to_have_text(list(patterns.tokens[1:7]))
    page.get_by_role("radio", name="All", exact=True).check()
    page.get_by_role("radio", name="Matrix").check()
    hover_cell(page, 0, 1, 13)
    kept = [i for i, word in enumerate(patterns.words) if word is not None]
    row = patterns.weights[0, 0, kept[0]]
    expect(page.locator(".tip b")).to_contain_text(" → ")
    shown = float(page.locator(".tip b").inner_text().split(": ")[1])
    assert shown == pytest.approx(row[kept[1]] / row[kept].sum(), abs=6e-4)
    expect(page.locator(".tip")).to_contain_text("row sum 1.00, renormalised")


def test_a_patch_shows_where_it_looks(visit):
    weights = seen().weights[0, 0]
    page = visit("kind=image&view=image")
    hover_patch(page, 2, 3)
    expect(page.locator(".reading")).to_contain_text("Patch in row 3, column 4 looks most at")
    said = page.locator(".reading p").inner_text()
    row = weights[1 + 2 * 6 + 3]
    assert float(re.search(r"column \d: ([\d.]+)", said)[1]) == pytest.approx(row[1:].max(), abs=6e-4)
    assert float(re.search(r"class token: ([\d.]+)", said)[1]) == pytest.approx(row[0], abs=6e-4)
    hover_patch(page, 2, 3, click=True)
    chosen(page, "token=16")
    page.get_by_role("button", name="[CLS]").click()
    chosen(page, "token=0")
    expect(page.locator(".reading")).to_contain_text("[CLS] looks most at")
    y, x = np.divmod(np.arange(36), 6)
    far = np.hypot(y[:, None] - y, x[:, None] - x)
    within = weights[1:, 1:] / weights[1:, 1:].sum(-1, keepdims=True)
    expect(page.locator(".multiple").first).to_contain_text(f"{(within * far).sum(-1).mean():.1f} patches")
    page.locator(".multiple").nth(4).click()
    chosen(page, "heads=(4,)", "view='image'")


def test_long_inputs_are_drawn_in_windows(visit):
    page = visit("kind=long&view=heads")
    expect(page.locator(".windows")).to_contain_text("queries: tokens 1–128 of 300")
    expect(page.locator(".queries .token")).to_have_count(128)
    page.get_by_role("button", name="Later queries").click()
    expect(page.locator(".windows")).to_contain_text("queries: tokens 129–256 of 300")
    expect(page.locator(".windows")).to_contain_text("keys: tokens 129–256 of 300")
    expect(page.locator(".keys .token").first).to_have_text(text(2, 3, 300, False, False).tokens[128])
    page.wait_for_timeout(300)
    assert (page.sent, page.faults) == ([], [])
    page.get_by_role("radio", name="Matrix").check()
    chosen(page, "view='matrix'")
    assert page.faults == []


def test_what_is_too_much_to_send_is_fetched(visit):
    page = visit("kind=heavy")
    page.locator(".thumb").nth(3 * 8 + 5).click()
    chosen(page, "view='matrix', part='self', layer=3, heads=(5,)")
    expect(page.locator(".cells")).to_be_visible()
    hover_cell(page, 2, 3, 128)
    expect(page.locator(".tip b")).to_contain_text(" → ")
    value = float(page.locator(".tip b").inner_text().split(": ")[1])
    assert value == pytest.approx(text(4, 8, 400, False, False).weights[3, 5, 2, 3], abs=6e-3)
    assert page.faults == []


def test_a_window_of_a_very_long_text_is_fetched(visit):
    page = visit("kind=huge&view=heads")
    expect(page.locator(".windows")).to_contain_text("queries: tokens 1–128 of 1200")
    page.get_by_role("button", name="Later queries").click()
    expect(page.locator(".windows")).to_contain_text("queries: tokens 129–256 of 1200")
    expect(page.locator(".queries .token").first).to_have_text(text(1, 3, 1200, False, False).tokens[128])
    assert page.faults == []


def test_two_inputs_are_compared(visit):
    page = visit("kind=text&view=matrix&compare=1")
    a, b = text().weights[0, 0], text(seed=3).weights[0, 0]
    for name, wanted in (("A", a), ("B", b), ("B − A", b - a)):
        page.get_by_role("radio", name=name, exact=True).check()
        page.mouse.move(2, 2)
        hover_cell(page, 12, 4, 20)
        expect(page.locator(".tip b")).to_contain_text(" → ")
        value = float(page.locator(".tip b").inner_text().split(": ")[1].replace("−", "-"))
        assert value == pytest.approx(wanted[12, 4], abs=6e-4)
    page.get_by_role("radio", name="Links").check()
    chosen(page, "view='heads'")
    assert page.faults == []


def test_a_rerun_and_other_data_keep_the_selection_and_python_can_change_it(visit):
    page = visit("kind=text&view=heads")
    page.locator(".queries .token").nth(4).click()
    chosen(page, "token=4")
    page.get_by_role("button", name="Again").click()
    page.get_by_role("button", name="Other text").click()
    chosen(page, "view='heads', part='self', layer=0, heads=(0,), token=4")
    weights = text(seed=5).weights[0, 0, 4]
    expect(page.locator(".side li b").first).to_have_text(f"{weights.max():.3f}")
    page.get_by_role("button", name="Elsewhere").click()
    chosen(page, "view='matrix', part='self', layer=1, heads=(3,)")
    expect(page.get_by_role("heading", name="Layer 2 · head 4")).to_be_visible()
    page.get_by_role("radio", name="Links").check()
    chosen(page, "view='heads', part='self', layer=1, heads=(3,)")


def test_hostile_tokens_are_only_text(visit):
    page = visit("kind=hostile&view=heads")
    for view in ("Links", "Matrix", "Arithmetic", "All heads"):
        page.get_by_role("radio", name=view).check()
        page.wait_for_timeout(150)
    assert page.locator(".attention img").count() == 0
    expect(page).to_have_title("calm")


def test_it_follows_the_theme(visit):
    page = visit("kind=text&view=matrix")
    light = painted(page, ".cells canvas")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "before => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.cells canvas').toDataURL() !== before",
        arg=light,
    )
