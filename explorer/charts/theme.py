"""One look for every chart: what its colours mean, and how its lines and letters are drawn.

The colours themselves live in `.streamlit/config.toml`, once for a light and once for a dark page, and reach a chart
in the browser: a chart names a *meaning* (`signed`, `magnitude`, or just a nominal field) and never a colour, so it
follows the viewer's theme. The same palettes stand here for pictures that Python paints itself.
"""

from dataclasses import dataclass

import altair as alt


@dataclass(frozen=True)
class Palette:
    """What colours mean on one kind of page."""

    categorical: tuple[str, ...]  # categories: hues after Okabe and Ito (2008), told apart by the colour-blind too
    sequential: tuple[str, ...]  # amounts: nothing has the colour of the page, much stands out from it
    diverging: tuple[str, ...]  # signed values: blue is negative, orange positive, zero the colour of the page


LIGHT = Palette(
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#C98F00", "#3F9FD6", "#6F5BB5", "#8C510A", "#4F7F2B", "#6B7280"),
    ("#F4F7FA", "#DDEAF3", "#C0DAEB", "#9CC6E0", "#74AFD2", "#4C95C2", "#2A7AB0", "#135F98", "#08467B", "#042F59"),
    ("#08467B", "#2A7AB0", "#74AFD2", "#B5D4E8", "#F2F6F9", "#FCF5EF", "#F8CBA8", "#EE9455", "#D55E00", "#8A3D00"),
)
DARK = Palette(
    ("#4FA8E0", "#F5854A", "#2CC79A", "#E79AC7", "#F0B62E", "#93D3F7", "#B0A1F0", "#D9A066", "#A3D17A", "#AAB3C2"),
    ("#1A212C", "#14314A", "#104464", "#12597F", "#1D709A", "#3388B3", "#539FC8", "#7BB7DA", "#A8CFEA", "#D9EAF7"),
    ("#A8CFEA", "#539FC8", "#2179AA", "#175173", "#182430", "#2A221D", "#6E3E1C", "#B55A17", "#F08A3C", "#FBC79A"),
)

# One set for pictures that are the same on every page: dark letters on light cells.
CATEGORICAL, SEQUENTIAL, DIVERGING = LIGHT.categorical, LIGHT.sequential, LIGHT.diverging
TRAINING, VALIDATION = "#2E8BC9", "#DB6A1F"  # legible on both pages


@alt.theme.register("explorer", enable=True)
def explorer() -> alt.theme.ThemeConfig:
    """What holds on light and dark pages alike; colours of text, grid and ranges are the page's own."""
    return {
        "config": {
            "view": {"stroke": None},
            "line": {"strokeWidth": 2.5, "strokeCap": "round", "strokeJoin": "round"},
            "point": {"size": 60, "filled": True},
            "bar": {"cornerRadiusEnd": 3},
            "axis": {"labelFontSize": 13, "titleFontSize": 13, "titlePadding": 8, "labelOverlap": True},
            "axisBand": {"labelFlush": False},  # each label in the middle of its band, the first and last too
            "legend": {"labelFontSize": 13, "titleFontSize": 13, "symbolSize": 120, "orient": "top", "title": None},
            "header": {"labelFontSize": 14, "titleFontSize": 14},
            "text": {"fontSize": 13},
        }
    }


def signed(limit: float) -> alt.Scale:
    """The colour scale of signed values: blue at -limit, orange at limit, the page's own colour at zero."""
    return alt.Scale(domain=[-limit, limit], domainMid=0, clamp=True)


def magnitude(high: float, low: float = 0.0) -> alt.Scale:
    """The colour scale of amounts: `low` has the page's own colour, `high` stands out most."""
    return alt.Scale(domain=[low, high], clamp=True)


def letters(strong: str) -> alt.Color:
    """The colour of letters on coloured cells: the page's own where the test `strong` holds, else that of text.

    strong: a Vega expression such as `datum.share > 0.5`, true where the cell stands out from the page.
    """
    page, ink = alt.ExprRef("background"), alt.ExprRef("luminance(background) > 0.5 ? '#17212E' : '#E8EDF3'")
    return alt.condition(strong, alt.value(page), alt.value(ink))
