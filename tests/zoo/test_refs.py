"""Refs: what names a model, and what does not."""

import pytest

from explorer.errors import ExplorerError
from explorer.zoo.refs import Ref, parse

ID = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("zoo:shapes-resnet", Ref("zoo", "shapes-resnet")),
        (f"run:{ID}", Ref("run", ID)),
        (f"run:{ID}@120", Ref("run", ID, step=120)),
        (f"run:{ID}@0", Ref("run", ID, step=0)),
        ("torchvision:resnet18", Ref("torchvision", "resnet18")),
        ("hf:google-bert/bert-base-uncased", Ref("hf", "google-bert/bert-base-uncased")),
        ("hf:microsoft/resnet-18@v1.0", Ref("hf", "microsoft/resnet-18", revision="v1.0")),
        ("hf:gpt2", Ref("hf", "gpt2")),
        ("file:/somewhere/a model", Ref("file", "/somewhere/a model")),
    ],
)
def test_a_ref_is_taken_apart_and_put_together_again(text, ref):
    assert parse(text) == ref
    assert str(ref) == text


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "shapes-resnet", "zoo:", "zoo:Shapes", "zoo:../shipped", "zoo:a/b", "zoo:a.b", "zoo:a\n", "zoo:-a",
        "zoo:a@1", "run:", "run:abc", f"run:{ID}0", f"run:{ID.upper()}", f"run:{ID}@", f"run:{ID}@-1",
        f"run:{ID}@123456789", f"run:{ID}@1\n", f"run:{ID}@\u0661", f"run:{ID}/../..", "torchvision:../x",
        "torchvision:ResNet18", "hf:", "hf:/x", "hf:a/", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b@..", "hf:a/b@",
        "hf:a--b/c", "hf:https://x.y/z", "hf:a/b?x=1", "hf:a b/c", "file:", "file:a\0b", "ftp:x", "ZOO:a", " zoo:a",
    ],
)  # fmt: skip
def test_what_is_no_ref_is_refused_with_what_to_open_instead(text, shelf):
    with pytest.raises(ExplorerError) as caught:
        parse(text)
    assert caught.value.do


def test_a_refusal_names_the_shipped_models_and_shortens_what_was_asked(shelf):
    from tests.zoo.conftest import write_own

    write_own(shelf / "tiny-lenet")
    with pytest.raises(ExplorerError, match="Open one of: zoo:tiny-lenet") as caught:
        parse("zoo:" + "A" * 10_000)
    assert len(str(caught.value)) < 400
