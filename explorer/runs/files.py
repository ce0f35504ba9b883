"""What a run leaves in its folder; a shipped model's folder looks the same.

config.json                       what was asked
card.json                         the network's card, its test metrics once they are known
history.jsonl                     one line per step
checkpoints/00000123.safetensors  the weights after step 123
tokenizer.json                    of a language model, what turns text into its tokens
predictions.safetensors           per checkpoint, the class probabilities of the test split (of classifiers)
samples.safetensors               per checkpoint, what a denoiser draws from always the same noise
frames.safetensors                of a network small enough to be drawn whole, its weights at many steps
put_down.safetensors              all that is needed to go on from where the run was put down
notes.json                        sentences about its way: that it stopped early, that it went on in smaller batches
outcome.json                      how it ended; missing while it runs, or when it was interrupted
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError

PUT_DOWN = "put_down.safetensors"


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises ExplorerError when the disk does not take it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise ExplorerError(
            f"Saving {path.name}",
            f"the disk did not take it ({error.strerror})",
            "Free some space; what was saved before is still there",
        ) from error


def write_json(path: Path, value: Any) -> None:
    """`write` for a JSON value."""
    write(path, json.dumps(value, indent=1).encode())


def read_json(path: Path) -> Any:
    """The JSON value of a file; raises ExplorerError when it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ExplorerError(f"The file {path.name} of this run", "it is missing", "Train the run again") from None
    except (OSError, ValueError, RecursionError):
        raise ExplorerError(f"The file {path.name} of this run", "it is damaged", "Train the run again") from None


def append_history(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Add lines to the history, all of them or none; values that are None are left out."""
    lines = [json.dumps({key: value for key, value in record.items() if value is not None}) for record in records]
    path = folder / "history.jsonl"
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a") as file:
            file.write("".join(line + "\n" for line in lines))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, size)  # what is added later would follow a line that was cut off
        raise ExplorerError(
            "Saving the learning curve",
            f"the disk did not take it ({error.strerror})",
            "Free some space; what was saved before is still there",
        ) from error


def history(folder: Path) -> list[dict[str, Any]]:
    """Every recorded step; from a damaged line on, as a crash leaves one at the end, they are left out."""
    path = folder / "history.jsonl"
    records = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict):
            break
        records.append(record)
    return records


def rewind(folder: Path, step: int) -> None:
    """Forget what a run recorded after a step, from which it goes on, and that it had ended."""
    kept = [json.dumps(record) + "\n" for record in history(folder) if record["step"] <= step]
    write(folder / "history.jsonl", "".join(kept).encode())
    for later in (one for one in checkpoints(folder) if one > step):
        checkpoint(folder, later).unlink(missing_ok=True)
    (folder / "outcome.json").unlink(missing_ok=True)


def note(folder: Path, sentence: str) -> None:
    """Add a sentence about a run's way to those that are there."""
    write_json(folder / "notes.json", [*notes(folder), sentence])


def notes(folder: Path) -> list[str]:
    """The sentences about a run's way; none where they are damaged."""
    with contextlib.suppress(ExplorerError):
        return read_json(folder / "notes.json")
    return []


def checkpoint(folder: Path, step: int) -> Path:
    """Where the weights after a step are."""
    return folder / "checkpoints" / f"{step:08d}.safetensors"


def checkpoints(folder: Path) -> list[int]:
    """The steps whose weights were kept, in order."""
    return sorted(int(path.stem) for path in (folder / "checkpoints").glob("*.safetensors") if path.stem.isdigit())


def best(folder: Path) -> int | None:
    """The checkpoint of the highest validation accuracy (among equals the lowest loss): the one opened by default.

    Of networks that name nothing, the lowest loss alone decides.
    """
    kept = set(checkpoints(folder))
    try:
        return _best(kept, history(folder))
    except (LookupError, TypeError) as error:
        wrong, do = f"it is damaged ({error})", "Name one of its steps, or train it again"
        raise ExplorerError("The history of this run", wrong, do) from error


def _best(kept: set[int], records: Iterable[Mapping[str, Any]]) -> int | None:
    tried = [record for record in records if record["step"] in kept and record.get("validation_loss") is not None]
    if not tried:
        return max(kept, default=None)
    return max(tried, key=lambda record: (record.get("validation_accuracy", 0.0), -record["validation_loss"]))["step"]
