"""Widgets from annotations: defaults, links, refusals, groups."""

from typing import Annotated

import pytest
from streamlit.testing.v1 import AppTest

from explorer.params import Choice, LogSlider, Number, Slider, Toggle, params
from explorer.ui.controls import label, refusal


def page(**options):
    from typing import Annotated

    import streamlit as st

    from explorer.params import Choice, LogSlider, Number, Slider, Toggle
    from explorer.ui.controls import controls

    def recipe(
        images,
        epochs: Annotated[int, Slider(1, 200, help="How often.", paper="https://example.org/paper")] = 15,
        batch_size: Annotated[int, Choice((8, 16, 32, 64, 128), group="Length")] = 64,
        optimizer: Annotated[str, Choice(("adamw", "sgd"), group="Optimiser")] = "adamw",
        lr: Annotated[float, LogSlider(1e-5, 10, label="Learning rate", group="Optimiser")] = 3e-3,
        momentum: Annotated[float, Slider(0, 1, step=0.05, group="Optimiser")] = 0.9,
        amp: Annotated[bool, Toggle(group="Hardware")] = True,
        seed: Annotated[int, Number(0, 99, group="Hardware")] = 0,
    ): ...

    st.session_state.values = controls(recipe, **options)


def draw(options: dict | None = None, **link: str) -> AppTest:
    test = AppTest.from_function(page, default_timeout=30, kwargs=options or {})
    for name, value in link.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception
    return test


def values(test: AppTest) -> dict:
    return test.session_state["values"]


DEFAULTS = {
    "epochs": 15, "batch_size": 64, "optimizer": "adamw", "lr": 3e-3, "momentum": 0.9, "amp": True, "seed": 0,
}  # fmt: skip


def test_every_setting_has_its_default_and_type_and_the_url_stays_clean():
    test = draw()
    assert values(test) == DEFAULTS
    assert [type(value) for value in values(test).values()] == [int, int, str, float, float, bool, int]
    assert dict(test.query_params) == {}


def test_a_link_sets_settings_of_every_kind():
    link = {"epochs": "33", "batch_size": "128", "optimizer": "sgd", "lr": "0.01", "momentum": "0.5"}
    test = draw(**link, amp="false", seed="7")
    assert values(test) == {
        "epochs": 33, "batch_size": 128, "optimizer": "sgd", "lr": 0.01, "momentum": 0.5, "amp": False, "seed": 7,
    }  # fmt: skip
    assert not test.warning


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ({"epochs": "9999"}, "Epochs in the link: 9999 is not between 1 and 200. It is 15 now."),
        ({"epochs": "abc"}, "Epochs in the link: 'abc' is not a whole number. It is 15 now."),
        ({"lr": "0.0042"}, "Learning rate in the link: '0.0042' is not one of the steps offered"),
        ({"optimizer": "lion"}, "Optimizer in the link: 'lion' is not one of adamw, sgd. It is adamw now."),
        ({"batch_size": "7"}, "Batch size in the link: '7' is not one of 8, 16, 32, 64, 128. It is 64 now."),
        ({"momentum": "nan"}, "Momentum in the link: nan is not a number. It is 0.9 now."),
        ({"amp": "maybe"}, "Amp in the link: 'maybe' is neither true nor false. It is True now."),
        ({"seed": "-4"}, "Seed in the link: -4 is not between 0 and 99. It is 0 now."),
        ({"seed": ""}, "Seed in the link: '' is not a whole number. It is 0 now."),
    ],
)
def test_a_refused_value_falls_back_and_is_told(link, sentence):
    test = draw(**link)
    assert values(test) == DEFAULTS
    (warning,) = test.warning
    assert warning.value.replace("\\", "").startswith(sentence)
    assert dict(test.query_params) == {}


def test_only_exclude_and_prefix_choose_what_is_drawn():
    assert list(values(draw({"only": ["lr", "seed"]}))) == ["lr", "seed"]
    assert "lr" not in values(draw({"exclude": ["lr"]}))
    assert values(draw({"only": ["seed"], "prefix": "model."}, **{"model.seed": "5"})) == {"seed": 5}


def test_defaults_and_the_server_s_limits_replace_those_of_the_signature():
    assert values(draw({"defaults": {"epochs": 40, "lr": 0.004}}))["epochs"] == 40
    assert values(draw({"defaults": {"lr": 0.004}}))["lr"] == 0.004
    test = draw({"highest": {"epochs": 10}})
    assert values(test)["epochs"] == 10
    assert test.slider(key="epochs").max == 10


def test_groups_are_expanders_in_order_and_only_the_first_is_open():
    test = draw()
    assert [(group.label, group.proto.expanded) for group in test.expander] == [
        ("Length", True), ("Optimiser", False), ("Hardware", False),
    ]  # fmt: skip


def test_help_holds_the_line_and_a_link_to_the_paper():
    assert draw().slider(key="epochs").help == "How often.\n\n[Read the paper](https://example.org/paper)"


def test_settings_without_groups_need_no_expander():
    assert not draw({"only": ["epochs"]}).expander


def test_a_label_is_the_name_in_plain_words():
    def target(batch_size: Annotated[int, Slider(1, 2)] = 1, lr: Annotated[float, Slider(0, 1, label="Rate")] = 1): ...

    assert [label(param) for param in params(target).values()] == ["Batch size", "Rate"]


def test_what_a_widget_writes_into_the_url_is_never_refused():
    def target(
        lr: Annotated[float, LogSlider(1e-5, 10, zero=True)] = 0.0042,
        size: Annotated[int, Choice((8, 16))] = 8,
        on: Annotated[bool, Toggle()] = True,
        seed: Annotated[int, Number(0, 9)] = 1,
    ): ...

    known = params(target)
    for text in ("0", "1e-05", "0.0042", "10"):
        assert refusal(known["lr"], text) is None
    assert refusal(known["size"], "16") is None
    assert refusal(known["on"], "false") is None
    assert refusal(known["seed"], "9") is None


def two_targets(**options):
    from typing import Annotated

    import streamlit as st

    from explorer.params import Choice, Slider, Toggle
    from explorer.ui.controls import Source, controls_of

    def recipe(
        optimizer: Annotated[str, Choice(("adamw", "sgd"), group="Optimiser", help="Which.")] = "adamw",
        momentum: Annotated[
            float, Slider(0, 1, step=0.05, group="Optimiser", help="How much.", when=("optimizer", ("sgd",)))
        ] = 0.9,
        smooth: Annotated[bool, Toggle(group="Regularisation", help="Whether.")] = False,
    ): ...

    def network(dropout: Annotated[float, Slider(0, 1, step=0.1, group="Regularisation", help="Share.")] = 0.0): ...

    st.session_state.values = controls_of(Source(recipe), Source(network, "net_"))


def test_a_setting_that_does_nothing_has_no_widget_and_its_default():
    test = AppTest.from_function(two_targets, default_timeout=30)
    test.query_params["momentum"] = "0.5"
    test.run()
    assert [one.key for one in test.slider] == ["net_dropout"]
    assert values(test)[0]["momentum"] == 0.9
    test.get("button_group")[0].set_value("sgd").run()
    assert test.slider(key="momentum").value in (0.5, 0.9)
    test.slider(key="momentum").set_value(0.25).run()
    assert values(test) == [{"optimizer": "sgd", "momentum": 0.25, "smooth": False}, {"dropout": 0.0}]
    assert not test.exception


def test_settings_of_one_group_share_an_expander_whatever_their_target():
    test = AppTest.from_function(two_targets, default_timeout=30).run()
    shared = next(group for group in test.expander if group.label == "Regularisation")
    assert [one.key for one in (*shared.toggle, *shared.slider)] == ["smooth", "net_dropout"]
    assert [group.label for group in test.expander] == ["Optimiser", "Regularisation"]
