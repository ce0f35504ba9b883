"""The one exception type for what a person can mend."""

LONGEST = 1000  # letters of a part: what was asked may be anything that a link can hold


class ExplorerError(Exception):
    """A refusal that says what was asked, what is wrong with it, and what to do instead.

    Every part is one clause or sentence without its full stop. Anything that is not an
    `ExplorerError` is a bug of ours and may show itself as one.
    """

    def __init__(self, asked: str, wrong: str, do: str) -> None:
        asked, wrong, do = (part if len(part) <= LONGEST else f"{part[:LONGEST]}…" for part in (asked, wrong, do))
        super().__init__(asked, wrong, do)  # all three in args, so that it survives pickling
        self.asked, self.wrong, self.do = asked, wrong, do

    def __str__(self) -> str:
        return f"{self.asked}: {self.wrong}. {self.do}."
