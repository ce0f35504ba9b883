"""`file:<folder>`: an image classifier, a language model or a diffusion pipeline that `save_pretrained` wrote here."""

import re
from dataclasses import replace
from pathlib import Path

from explorer.settings import settings
from explorer.store import ANSWERS
from explorer.zoo import saved, saved_diffusion
from explorer.zoo.refs import Ref
from explorer.zoo.sources.base import SOURCES, check_parameters, unavailable
from explorer.zoo.store import Found

_seen: dict[str, str] = {}  # folder → when its files were written, as it was opened last


def settle(ref: Ref) -> Ref:
    """Name the folder in full and say when its files were written, so that a model saved anew is loaded anew."""
    if settings().shared:
        raise unavailable(ref, "this server is shared, so it opens no folders of its own disk")
    try:
        folder = Path(ref.name).expanduser()
        there = folder.is_dir()
        files = [path for pattern in (*saved.FILES, *saved_diffusion.PATTERNS) for path in folder.glob(pattern)]
        written = max((path.stat().st_mtime_ns for path in files), default=0)
    except (OSError, RuntimeError) as error:  # too long a name, one that may not be looked at, nobody's home
        raise unavailable(ref, f"this folder can't be opened ({error})") from error
    if not there:
        raise unavailable(ref, "there is no such folder")
    name, written = str(folder.resolve()), str(written)
    if _seen.setdefault(name, written) != written:
        _seen[name] = written
        ANSWERS.clear()  # pages know it by its folder alone, and what they have of it is of the model before
    return replace(ref, name=name, revision=written)


@SOURCES.register("file", form="file:<folder>", pattern=re.compile(r"(?P<name>[^\0\r\n]{1,1000})"), settle=settle)
def find(ref: Ref) -> Found:
    """An image classifier, a language model or a diffusion pipeline saved by save_pretrained on this computer."""
    folder, named = Path(ref.name), replace(ref, revision=None)
    saved.check(named, folder)
    parameters = saved.parameters(named, folder)
    check_parameters(named, parameters)
    return Found(4 * parameters, lambda: saved.load(named, folder, f"read from {folder}"))
