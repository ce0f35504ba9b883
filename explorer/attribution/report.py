"""The arena as one HTML file to hand in: every map, every number, and what is needed to make them again."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from explorer.attribution.base import METHODS, Attribution
from explorer.attribution.export import embedded, limit, overlay
from explorer.attribution.measures import MEASURES
from explorer.charts.figure import safe

STYLE = """
:root { color-scheme: light dark; --ink: #17212e; --faint: #667080; --line: #dce3ea; --page: #fff; --strong: #0068a6 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8edf3; --faint: #9aa6b5; --line: #2c3744; --page: #10151c; --strong: #7fc1ec }
}
body { font: 15px/1.5 "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink); background: var(--page);
       max-width: 1000px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem }
p.about { color: var(--faint); margin: 0 0 1.5rem; overflow-wrap: anywhere } a { color: var(--strong) }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: 1.4rem 1.2rem }
figure { margin: 0; break-inside: avoid } figcaption { margin-top: .4rem; font-size: .82rem; color: var(--faint) }
figcaption b { display: block; font-size: .95rem; color: var(--ink) }
img { width: 100%; image-rendering: pixelated; border-radius: 6px; display: block }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .35rem .5rem; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left } thead th { color: var(--faint); font-weight: 600 }
dl { font-size: .88rem } dt { font-weight: 600; margin-top: .7rem } dd { margin: 0; color: var(--faint) }
@media print { body { margin: 0; max-width: none; font-size: 11pt } .maps { grid-template-columns: repeat(4, 1fr) } }
"""


def report(
    title: str,
    maps: Sequence[Attribution],
    labels: Sequence[str],
    rows: Sequence[Mapping[str, object]],
    link: str,
    notes: str = "",
) -> str:
    """One HTML file that needs no network and runs no script.

    labels: the classes of the model. rows: one mapping for each method, from the name of a column to its value, the
    method first. link: where the page is found again. notes: the person's own words.
    """
    first = maps[0]
    what = labels[first.target] + (f" rather than {labels[first.versus]}" if first.versus is not None else "")
    now = datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "captum", "numpy"))
    address = f'<a href="{_safe(link)}">{_safe(link)}</a>' if link.startswith(("http://", "https://")) else _safe(link)
    picture = (
        f'<figure><img alt="the picture" src="{embedded(first.picture)}">'
        f"<figcaption><b>The picture</b>explained: {_safe(what)}</figcaption></figure>"
    )
    body = [
        f"<h1>{_safe(title)}</h1>",
        f'<p class="about">{_safe(first.ref)} · {_safe(what)} · score {first.score:.4g} · {now}</p>',
        f"<p>{_safe(notes)}</p>" if notes else "",
        f'<div class="maps">{picture}{"".join(map(_figure, maps))}</div>',
        "<h2>Can they be believed?</h2>",
        _table(rows),
        f"<dl>{''.join(_meaning(kind) for kind in MEASURES if any(_known(row.get(kind.name)) for row in rows))}</dl>",
        "<h2>The methods</h2>",
        f"<dl>{''.join(map(_method, maps))}</dl>",
        f"<h2>Again</h2><p>{address}</p>",
        f'<p class="about">Python {platform.python_version()}, {versions}</p>',
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{_safe(title)}</title>'
    head = f"<head>{head}<style>{STYLE}</style></head>"
    return f'<!doctype html>\n<html lang="en">{head}\n<body>{"".join(body)}</body></html>\n'


def _figure(found: Attribution) -> str:
    facts = METHODS[found.method].facts
    top = np.unravel_index(found.scores.argmax(), found.scores.shape)
    words = [f"scale ±{limit([found]):.3g}", f"highest at row {top[0]}, column {top[1]}"]
    words += [f"layer {found.layer}"] if found.layer else []
    words += [] if found.complete else ["cut off: what there was"]
    return (
        f'<figure><img alt="{_safe(facts["title"])}" src="{embedded(overlay(found))}">'
        f"<figcaption><b>{_safe(facts['title'])}</b>{_safe(' · '.join(words))}</figcaption></figure>"
    )


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    if not rows:
        return ""
    shown = {kind.name: kind for kind in MEASURES}
    columns = list(dict.fromkeys(name for row in rows for name in row))
    columns = [name for name in columns if any(_known(row.get(name)) for row in rows)]
    arrows = {"lower": " ↓", "higher": " ↑"}
    heads = [_safe(name) + (arrows[shown[name].better] if name in shown else "") for name in columns]
    lines = ["".join(f"<td>{_cell(row.get(name), shown.get(name))}</td>" for name in columns) for row in rows]
    top = "".join(f"<th>{head}</th>" for head in heads)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody></table>"


def _known(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and np.isnan(value))


def _cell(value: object, kind: object) -> str:
    if not _known(value):
        return "–"
    if isinstance(value, float):
        return kind.unit.format(value) if kind else f"{value:.3g}"
    return _safe(str(value))


def _meaning(kind: object) -> str:
    return f"<dt>{_safe(kind.name)}</dt><dd>{_safe(kind.about)} {kind.better.capitalize()} is better.</dd>"


def _method(found: Attribution) -> str:
    entry = METHODS[found.method]
    document = " ".join((entry.make.__doc__ or "").split())
    source = document[document.find("Source:") :] if "Source:" in document else ""
    values = ", ".join(f"{name} {value}" for name, value in found.settings.items()) or "no settings"
    told = f"{entry.summary} {source} With {values}; seed {found.seed}; passes: {found.evaluations:,}."
    return f"<dt>{_safe(entry.facts['title'])}</dt><dd>{_safe(told)}</dd>"


def _safe(words: object) -> str:
    return safe(str(words))
