"""What language models share: the sizes that a person chooses."""

from typing import Annotated

from explorer.params import Choice, Slider

Width = Annotated[int, Slider(16, 256, step=16, help="Numbers that describe one token.")]
Depth = Annotated[int, Slider(1, 8, help="Transformer blocks.")]
Heads = Annotated[int, Choice((1, 2, 4, 8), help="Questions that each token may ask the others at once.")]


def uneven(shape: tuple[int, ...], width: int = 64, heads: int = 4, **settings: object) -> str | None:
    """Texts are rows of tokens, and heads must share the width."""
    if len(shape) != 1:
        return "it takes texts, and these examples are not"
    return f"a width of {width} can't be shared by {heads} heads" if width % heads else None
