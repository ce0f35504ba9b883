"""The tour of Attention: what a head looks at, what it does, and whether it matters."""

from explorer.ui.tour import Now, Step, Tour


def _causal(now: Now) -> bool:
    return now("scratch.mask") == "causal"


TOUR = Tour(
    "In a language model every word looks back at others and takes something from them. A head is one way of looking.",
    {
        "see": "Heads", "model": "zoo:story-gpt", "text": None, "?text": None, "?show": None, "?part": None,
        "?layer": None, "?head": None, "?token": None, "other": None, "?other": None, "flow": "Rollout",
        "scratch.mask": "none",
    },
    (
        Step(
            "The words stand in two columns; a line leads from a word to one that it looks at. Click the **with** "
            "before *their*, on the left.",
            "Its thickest line, 0.89, leads past the *cat* back to the *bears*. Below: the next word is *their*, 99.9 "
            "% sure; without this head that falls to 9.8 %. It finds out whom *their* means.",
            "attention",
            {"?token": "19"},
        ),
        Step(
            "That was one head of eight. Press **All heads**.",
            "Two layers of four heads, each a square: a row for each word, dark where it looks. Each has a pattern of "
            "its own, and a name where it has a clear task.",
            "attention",
            {"?show": "grid"},
        ),
        Step(
            "Who gave them these names? Choose the view **What does each do?**",
            "Every head was marked on sentences whose grammar is known. Further down: the tasks came about at "
            "different times of training, whom a pronoun means (coreference) before repeating what was seen "
            "(induction).",
            "see",
            {"see": "What does each do?"},
        ),
        Step(
            "Looking is not yet mattering. Choose **Does it matter?**",
            "Each head was taken away alone. The loss, how badly the text is foretold, rises most without layer 1, "
            "head 2 and layer 2, head 1. Without some it even falls.",
            "see",
            {"see": "Does it matter?"},
        ),
        Step(
            "Click the cell of layer 2, head 1 in that chart.",
            "The loss rises by 0.42, yet after *with* the word *their* stays at 99.9 %: this head serves other words. "
            "It finds what followed the last time.",
            "sweep-self",
            {"?head": "1"},
        ),
        Step(
            "Now change a word and see which heads notice. Choose **Change it**.",
            "B begins with *bella* instead of *boris*, and after *with* the network expects *her* in place of *his*. "
            "The chart below says which heads work differently for it.",
            "see",
            {"see": "Change it"},
        ),
        Step(
            "What has arrived at a word after all layers? Choose **Flow**.",
            "A bar for each word that *with* has taken from, layer upon layer. Read the note below: even this is no "
            "proof of what the answer depends on. Taking away is.",
            "see",
            {"see": "Flow"},
        ),
        Step(
            "At last the arithmetic. Choose **From scratch**.",
            "All of attention is these few lines: compare a query with every key, make shares of the scores, add up "
            "the values by these shares. Every number of an example stands below.",
            "see",
            {"see": "From scratch"},
        ),
        Step(
            "A model that writes must not look ahead. Set **Mask** to **causal**.",
            "The upper right of the weights is gone: each word sees itself and what came before, and each row still "
            "sums to 1.",
            "scratch.mask",
            {"scratch.mask": "causal"},
            _causal,
        ),
    ),
)  # fmt: skip
