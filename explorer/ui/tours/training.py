"""The tour of Training: how a network learns, what the recipe does, and whether a difference is real."""

from collections.abc import Callable

from explorer.ui.tour import Now, Step, Tour

SHIPPED = "zoo:digits-lenet"
RATE = 0.003  # the usual one
FAR = 1.0  # far too long a step


def _finished(rate: float) -> Callable[[Now], bool]:
    """Whether the run on the screen is one of one's own, at this learning rate, and has ended."""

    def done(now: Now) -> bool:
        from explorer import runs
        from explorer.errors import ExplorerError
        from explorer.runs import files

        ref = str(now("run") or "")
        if not ref.startswith("run:"):
            return False
        id = ref.removeprefix("run:")
        try:
            config = files.read_json(runs.folder(id) / "config.json")
            return float(config["lr"]) == rate and runs.get(id).state not in ("waiting", "running")
        except ExplorerError:
            return False

    return done


def _own_play(now: Now) -> bool:
    return str(now("play") or "").startswith("run:")


TOUR = Tour(
    "A network begins with random numbers and is shown examples; each mistake moves its numbers a little. That is all.",
    {
        "view": "The run", "run": SHIPPED, "?run": None, "data": "digits", "?data": None,
        "network": "lenet", "?network": None,
        "epochs": 30, "optimizer": "adamw", "lr": RATE, "checkpoint": 570, "race": "recipe", "?race": None,
        "play": "zoo:points-mlp", "?play": None,
    },
    (
        Step(
            "This network was recorded as it learned to read digits. Drag **Checkpoint**, below the curves, to its "
            "very left: the network before it had seen any.",
            "5.8 % right: worse than guessing, which would have 10 %. In the table below it, whole rows lie under a "
            "wrong digit.",
            "checkpoint",
            {"checkpoint": 0},
        ),
        Step(
            "Now press **Play** under the bar, and watch, or drag it to the very right.",
            "99.2 % right. The loss, how wrong it is, falls, and the accuracy rises: fast at first, then slowly. "
            "Three of 359 digits are still misread.",
            "checkpoint",
            {"checkpoint": 570},
        ),
        Step(
            "Make one of your own with the same recipe: press **Start training**, and wait some seconds.",
            "Your network, and if you left the levers alone it is the recorded one, to the number: the same seed, the "
            "same chance. It has a link of its own, and every other page can open it.",
            "start",
            {},
            _finished(RATE),
        ),
        Step(
            "What does the recipe say? Choose the view **Before it runs**.",
            "13,706 numbers to learn, 570 steps, and the curve of the learning rate: how far each step goes. Below is "
            "one batch, the pictures of one step.",
            "view",
            {"view": "Before it runs"},
        ),
        Step(
            "Let us take far too long steps. Open **Optimiser** on the left, and set **Learning rate** to 1.",
            "The curve keeps its shape and reaches 1 now, more than 300 times as high. A prudent person would ask the "
            "range test below. We don't.",
            "lr",
            {"lr": FAR},
        ),
        Step(
            "Press **Start training** again.",
            "The loss jumps about and the network never gets half of the digits right: each step leaps over what it "
            "was to find.",
            "start",
            {},
            _finished(FAR),
        ),
        Step(
            "One run may be luck. Choose **Is it real?**",
            "Two recipes, five times each, from the same first numbers: +9.3 points, between +5.8 and +12.8. An "
            "interval that keeps off zero is more than luck.",
            "view",
            {"view": "Is it real?"},
        ),
        Step(
            "At last a network that is small enough to be seen whole. Choose **Playground**.",
            "Every unit is a picture of what it says all over the plane, every line a weight: orange positive, blue "
            "negative, the thicker the larger.",
            "view",
            {"view": "Playground"},
        ),
        Step(
            "Press **Train**, and watch it bend the plane around the points.",
            "First a straight border, then a bent one: each unit gives a piece of it. Hover a unit to see which, and "
            "click a line to change its weight by hand.",
            "play-go",
            {},
            _own_play,
        ),
    ),
)  # fmt: skip
