"""What a run leaves in its folder; a shipped model's folder looks the same.

config.json                       what was asked
card.json                         the network's card, its test metrics once they are known
history.jsonl                     one line per step
checkpoints/00000123.safetensors  the weights after step 123
tokenizer.json                    of a language model, what turns text into its tokens
predictions.safetensors           per checkpoint, the class probabilities of the test split (of classifiers)
samples.safetensors               per checkpoint, what a denoiser draws from always the same noise
outcome.json                      how it ended; missing while it runs, or when it was interrupted
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises ExplorerError when the disk does not take it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, path)
    except OSError as error:
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
    except ValueError:
        raise ExplorerError(f"The file {path.name} of this run", "it is damaged", "Train the run again") from None


def append_history(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Add lines to the history; values that are None are left out."""
    lines = [json.dumps({key: value for key, value in record.items() if value is not None}) for record in records]
    try:
        with (folder / "history.jsonl").open("a") as file:
            file.write("".join(line + "\n" for line in lines))
    except OSError as error:
        raise ExplorerError(
            "Saving the learning curve",
            f"the disk did not take it ({error.strerror})",
            "Free some space; what was saved before is still there",
        ) from error


def history(folder: Path) -> list[dict[str, Any]]:
    """Every recorded step; a last line that was cut off by a crash is left out."""
    path = folder / "history.jsonl"
    records = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


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
    tried = [
        record for record in history(folder) if record["step"] in kept and record.get("validation_loss") is not None
    ]
    if not tried:
        return max(kept, default=None)
    return max(tried, key=lambda record: (record.get("validation_accuracy", 0.0), -record["validation_loss"]))["step"]
