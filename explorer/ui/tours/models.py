"""The tour of Models: what a trained network is, what it answers, and what its figures say."""

from explorer.ui.tour import Now, Step, Tour

MANY = "the bears that the cat follows find boris with"
ONE = "the bear that the cat follows finds boris with"


def _written(text: str):
    """Whether the box of text holds these words."""

    def done(now: Now) -> bool:
        return str(now("text") or "").lower().split() == text.split()

    return done


TOUR = Tour(
    "A network is a long formula with many numbers in it, found by showing it examples. Nothing here can be broken.",
    {"model": "zoo:shapes-resnet", "example": 0, "text": None, "?text": None},
    (
        Step(
            "This network has learned to name the shape in a picture. Move **Test example** to 5: click the handle, "
            "then press the right arrow key five times.",
            "It is 98 % sure of *ring*, and it is a ring. There is a bar for each of ten classes; together they make "
            "100 %.",
            "example",
            {"example": 5},
        ),
        Step(
            "Ask another network about the same picture. Under **Model** choose **Vision transformer that names "
            "shapes**.",
            "It says *crescent*, and *ring* comes next, 51 % against 41 %. It has more parameters, the numbers it "
            "learned (516,994 against 392,674), and is right less often: 91.4 % against 98.9 %.",
            "model",
            {"model": "zoo:shapes-vit"},
        ),
        Step(
            "How good is a network that is never wrong? Choose **ResNet that learned a shortcut**.",
            "Validation accuracy 100 %, test accuracy 0 %. A tag in a corner gave the answer away while it learned, "
            "and in the test the tag lies. A figure is worth what the pictures behind it are worth.",
            "model",
            {"model": "zoo:shapes-shortcut"},
        ),
        Step(
            "A network need not be large. Choose **LeNet that reads digits**.",
            "8 × 8 pixels go in, 13,706 parameters do the work, and 99.7 % of the answers are right: an easy question "
            "needs a small network.",
            "model",
            {"model": "zoo:digits-lenet"},
        ),
        Step(
            "It makes one mistake in its 359 test digits. Move **Test example** to 1 and find it.",
            "The 5 looks like a 9, and it says 9. But it is only 80 % sure, where it is 97 % sure of most: how sure "
            "it is tells something too.",
            "example",
            {"example": 1},
        ),
        Step(
            "Networks read texts too. Choose **Decoder that tells stories**.",
            "Its answer is a word: the one that it expects next. A text is cut into tokens, here words, and below "
            "stands how surprised it was by each of them.",
            "model",
            {"model": "zoo:story-gpt"},
        ),
        Step(
            f"Replace the text by `{MANY}` and press Ctrl and Enter.",
            "*their*, 99.9 %. Nobody told it grammar: it has found out that *their* belongs to the bears, not to the "
            "cat that stands nearer.",
            "text",
            {"text": MANY},
            _written(MANY),
        ),
        Step(
            f"Make it one bear: `{ONE}`.",
            "*its*, 99.6 %. One word far back has turned the answer round. How it looks back is what the page "
            "Attention shows.",
            "text",
            {"text": ONE},
            _written(ONE),
        ),
        Step(
            "Some networks name nothing. Choose **Diffusion that draws digits**.",
            "No question, no answer: it draws. **Watch it draw, step by step** opens it on the page Diffusion, and "
            "**Look inside every layer** opens any network on the page Activations.",
            "model",
            {"model": "zoo:digits-diffusion"},
        ),
    ),
)
