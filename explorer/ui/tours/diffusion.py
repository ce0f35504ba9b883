"""The tour of Diffusion: how a picture comes out of noise, and how it is steered."""

from explorer.ui.tour import Step, Tour

PROMPT = "a red ring left of a blue star"

TOUR = Tour(
    "This network has learned to take noise away. Begin with nothing but noise, ask it again and again: a picture.",
    {
        "model": "zoo:shapes-diffusion", "view": "From noise", "prompt": PROMPT, "?prompt": None,
        "avoid": "", "?avoid": None,
        "sampler": "ddim", "?sampler": None, "steps": 20, "guidance": 4.0, "seed": 0, "count": 1, "?frame": None,
        "way": "Fork a step", "fork": 4, "fork-prompt": "a green ring left of a blue star", "?fork-prompt": None,
    },
    (
        Step(
            "The words are the prompt on the left. Drag the bar under the pictures to its very beginning.",
            "Left: noise. Right of it: the picture that the network believes in. Already a blurred ring and a blue "
            "blob, in their places. Now play it to the end if you like.",
            "reverse",
            {"?frame": "0"},
        ),
        Step(
            "Everything comes from that noise, and a number decides it. Set **Seed** to 7.",
            "Another noise, another picture: dark ground, and still a red ring left of a blue star. Set it back and "
            "you would get the very same as before.",
            "seed",
            {"seed": 7},
        ),
        Step(
            "How did it learn this? By being shown pictures under noise. Choose **Into noise**.",
            "A real picture dissolves. It was always asked the same: what of this is noise? The curves say how fast "
            "the picture goes, by several schedules.",
            "view",
            {"view": "Into noise"},
        ),
        Step(
            "A sampler says how to step from noise to picture. Choose **Samplers**.",
            "One noise, four ways. DDIM with 5 steps comes near what it takes 20 for. DDPM draws new noise on its "
            "way, and so ends elsewhere, no worse for it.",
            "view",
            {"view": "Samplers"},
        ),
        Step(
            "How closely does it follow the words? Choose **Guidance**.",
            "At 0 it does not listen: a green square. From 1 on it draws what was asked, beyond that ever more "
            "strongly, and other things, like the ground, suffer.",
            "view",
            {"view": "Guidance"},
        ),
        Step(
            "When is what decided? Choose **Another future**: after 4 of 20 steps the words change to *a green ring*.",
            "The ring turns green and stays where it was: place and size were decided by then, the colour was not.",
            "view",
            {"view": "Another future"},
        ),
        Step(
            "Change your mind later: move **Fork after so many evaluations** to 16.",
            "Too late. The ring is orange now, neither red nor green. What is coarse is decided early, what is fine "
            "late.",
            "fork",
            {"fork": 16},
        ),
        Step(
            "Which word looks where? Choose **Words**.",
            "A picture for each word, lit where the word is looked at. Below it is measured: on real pictures a noun "
            "has 16 % of its attention on its object, where a uniform map has 8 %.",
            "view",
            {"view": "Words"},
        ),
        Step(
            "The same idea with points in place of pictures: under **Model** choose **Diffusion that draws spirals of "
            "points**.",
            "2,000 points begin as a round cloud and end as two spirals. A picture is such a point too, only with "
            "thousands of coordinates.",
            "model",
            {"model": "zoo:points-diffusion"},
        ),
        Step(
            "See what pushes them: choose **Score field**.",
            "An arrow for each place: where the network would push a point that lies there. Beside it are the arrows "
            "of the best possible network.",
            "view",
            {"view": "Score field"},
        ),
    ),
)  # fmt: skip
