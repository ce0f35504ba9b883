"""The tour of Activations: from the map of a network to one unit, to a whole data set, and to an operation."""

from explorer.ui.tour import Now, Step, Tour


def _stage3(now: Now) -> bool:
    return str(now("map-layer") or "").startswith("stage3")


TOUR = Tour(
    "A picture goes in, numbers pass from layer to layer, an answer comes out. Here every one of these numbers is "
    "seen.",
    {
        "model": "zoo:shapes-resnet", "example": 0, "view": "Map", "layer": "stem.relu", "?layer": None,
        "map-layer": "stage1.0.relu1", "?map-layer": None, "unit": "", "?unit": None, "pixel": "", "?pixel": None,
        "maps-sort": "index", "?maps-sort": None, "embed-layer": "before-the-answer", "?embed-layer": None,
        "compare": "This input", "a-model": None, "?a-model": None, "cuts": "", "?cuts": None,
    },
    (
        Step(
            "The network is drawn as boxes, in the order in which they work. Click the box **stage3**.",
            "It holds 295,872 of the 392,674 parameters, but does 38 of the 120 million operations: where the numbers "
            "are is not where the work is.",
            "map-boxes",
            {"map-layer": "stage3"},
            _stage3,
        ),
        Step(
            "Look at what a layer gives out. Choose the view **Layer**.",
            "24 maps of 32 × 32, made by 24 units of an early layer. Each shows where in the picture its unit found "
            "what it looks for: you still recognise the scene.",
            "view",
            {"view": "Layer"},
        ),
        Step(
            "Now a late one: under **Layer**, on the left, choose **stage3.1.relu2**.",
            "96 maps of 8 × 8. The deeper, the less of where and the more of what.",
            "layer",
            {"layer": "stage3.1.relu2"},
        ),
        Step(
            "Which of these units care for one class? Set **Sorted by** to **Selectivity**.",
            "The most selective come first, each with the class that it answers to. An index of 1 would be a unit "
            "that answers to one class and to nothing else.",
            "maps-sort",
            {"maps-sort": "selectivity"},
        ),
        Step(
            "Ask the most selective one what it wants. Choose the view **What it wants**.",
            "Of 1,000 pictures these move it most, and they show one and the same shape. At random it gets far less. "
            "It was never told: it was made by the task.",
            "view",
            {"view": "What it wants"},
        ),
        Step(
            "From a unit to the whole layer. Choose the view **Embeddings**.",
            "500 pictures as points, each the numbers of the last layer. Classes form islands: ask the ten nearest of "
            "a picture, and most have its class in 99 % of all cases.",
            "view",
            {"view": "Embeddings"},
        ),
        Step(
            "And at the beginning of the network? Under **Layer to embed** choose **stem.relu**.",
            "All mixed: the neighbours are right in 11 %, as chance would be. In between, layer by layer, the network "
            "has made what is alike to it lie together.",
            "embed-layer",
            {"embed-layer": "stem.relu"},
        ),
        Step(
            "Do two networks see alike? Choose **A and B**. A is the one that cheats by a tag in the corner.",
            "On this picture they disagree. The curve says how alike they are in each layer: much at first, little at "
            "the end.",
            "view",
            {"view": "A and B"},
        ),
        Step(
            "Over 500 pictures, and all layers with all: choose **All layers**.",
            "First layers are 0.99 alike, the last but one 0.02, where two untrained networks have 0.89. Training "
            "drove them apart: one learned shapes, the other tags.",
            "compare",
            {"compare": "All layers"},
        ),
        Step(
            "Operate. Choose **Surgery**, and **stem.relu** under **Layer** again.",
            "One of the 24 first units is set to zero, and the right answer is gone. None of the others does that: "
            "what was seen to be active is now known to matter.",
            "view",
            {"view": "Surgery", "layer": "stem.relu"},
        ),
    ),
)  # fmt: skip
