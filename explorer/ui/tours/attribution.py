"""The tour of Saliency: maps of what mattered, how they differ, and which of them can be believed."""

from explorer.attribution.arena import DEFAULT
from explorer.ui.tour import Now, Step, Tour

KEPT = ["grad_cam", "saliency", "guided_backprop", "sobel"]
LEFT_OUT = ("integrated_gradients", "deeplift", "smoothgrad", "random")


def _few(now: Now) -> bool:
    """Whether the methods that are to go are gone, and enough are left."""
    chosen = now("methods-chosen")
    return isinstance(chosen, list) and not set(chosen) & set(LEFT_OUT) and {"guided_backprop", "sobel"} <= set(chosen)


TOUR = Tour(
    "A saliency map colours the pixels that mattered for a network's answer. There are many ways to make one.",
    {
        "view": "Arena", "model": "zoo:shapes-resnet", "example": 0, "target": "predicted", "?target": None,
        "versus": "nothing", "?versus": None, "layer": "automatic", "?layer": None,
        "methods": ",".join(DEFAULT), "?methods": None, "methods-chosen": list(DEFAULT),
        "sensitivity": False, "forgotten": 8, "scene": 0, "tag": "truth", "?tag": None,
    },
    (
        Step(
            "The network says *cross*. Orange pixels speak for that answer, blue ones against it. Now ask for another "
            "answer: under **Explain the class** choose **arrow**.",
            "Integrated gradients and DeepLIFT turn round: what spoke for the cross speaks against the arrow. Guided "
            "backpropagation stays as it was, and so do Sobel and Random, which know nothing of the network.",
            "target",
            {"target": "8"},
        ),
        Step(
            "Choose **predicted: cross** again, and go down to the table **Can they be believed?**",
            "**mass** is the share of a map that lies on the true object. DeepLIFT has 0.80 of it there, Grad-CAM "
            "0.23, Random 0.06. Here the truth is known, so a map can be marked.",
            "target",
            {"target": "predicted"},
        ),
        Step(
            "A good map changes little where the picture changes little. Switch on **Sensitivity too**, above the "
            "table.",
            "Guided backpropagation changes most, Grad-CAM hardly at all, and Random not at all: a measure that "
            "nonsense can win is not enough alone.",
            "sensitivity",
            {"sensitivity": True},
        ),
        Step(
            "Fewer maps are easier to compare. Under **Methods** switch off Integrated gradients, DeepLIFT, "
            "SmoothGrad and Random.",
            "Guided backpropagation is the crispest of them. Sobel only marks edges, network or not. Keep both in "
            "mind.",
            "methods-chosen",
            {"methods": ",".join(KEPT), "methods-chosen": KEPT},
            _few,
        ),
        Step(
            "Is a map about what the network has learned? Choose the view **Sanity check**.",
            "In all layers random numbers replaced what was learned. The number above each map says how like the "
            "first one it still is: Sobel 1.00. It never was about the network.",
            "view",
            {"view": "Sanity check"},
        ),
        Step(
            "Go back to where only the last layers are forgotten: move **Forgotten** to 1.",
            "The network now answers at random, and guided backpropagation is still 0.89 like its first map. Beauty "
            "is no proof: it shows the picture more than the reasons.",
            "forgotten",
            {"forgotten": 1},
        ),
        Step(
            "Now use the maps to catch a cheat. Choose the view **A planted shortcut**.",
            "The answer is right, and the maps show why: 0.79 of Integrated gradients lies on the small tag in the "
            "corner, not on the cross.",
            "view",
            {"view": "A planted shortcut"},
        ),
        Step(
            "Prove it: under **The tag says** choose **a lie: arrow**.",
            "Same picture, another tag, and it says *arrow*, 95 % sure. It never learned what a cross looks like.",
            "tag",
            {"tag": "lie"},
        ),
        Step(
            "Last, take the tag away: choose **no tag**.",
            "It is lost: *hexagon*, 68 %. A map told you what no accuracy would, and you tested what it told. That is "
            "the way to use one.",
            "tag",
            {"tag": "none"},
        ),
    ),
)  # fmt: skip
