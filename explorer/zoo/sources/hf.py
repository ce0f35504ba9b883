"""`hf:<owner>/<name>`: image classifiers and language models of the Hugging Face Hub, never with code of their own."""

import difflib
import fnmatch
import re
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.zoo import saved
from explorer.zoo.catalogue import CATALOGUE
from explorer.zoo.refs import Ref
from explorer.zoo.sources.base import SOURCES, check_parameters, unavailable
from explorer.zoo.store import Found

if TYPE_CHECKING:
    from explorer.zoo.model import Model

TIMEOUT = 5  # seconds until the Hub counts as out of reach
ALLOWED = {entry.name: entry.parameters for entry in CATALOGUE}  # what a shared server opens, and how large it is
NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_]|[.-](?![.-])){0,95}"  # as the Hub allows: no two dots or dashes in a row


@SOURCES.register(
    "hf",
    form="hf:<owner>/<name>",
    pattern=re.compile(rf"(?P<name>{NAME}(?:/{NAME})?)(?:@(?P<revision>{NAME}))?"),
)
def find(ref: Ref) -> Found:
    """An image classifier or a language model from the Hugging Face Hub."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if settings().shared:
        if ref.name not in ALLOWED or ref.revision:
            raise unavailable(ref, f"this server is shared: of the Hub it opens only {_allowed(ref)}")
        check_parameters(ref, ALLOWED[ref.name])
    try:
        info = HfApi().model_info(ref.name, revision=ref.revision, files_metadata=True, timeout=TIMEOUT)
    except HfHubHTTPError as error:
        raise _refusal(ref, error) from error
    except (httpx2.HTTPError, OSError) as error:
        return _downloaded_before(ref, error)
    sizes = {
        file.rfilename: file.size or 0
        for file in info.siblings or ()
        if any(fnmatch.fnmatch(file.rfilename, pattern) for pattern in saved.WEIGHTS)
    }
    if not sizes:
        raise unavailable(ref, "it has no weights as safetensors, and pickled ones are not opened: they can run code")
    counts = info.safetensors.parameters if info.safetensors else {"F32": sum(sizes.values()) // 4}
    parameters = sum(count for dtype, count in counts.items() if saved.is_weight(dtype))
    check_parameters(ref, parameters)
    if info.config and "model_type" in info.config:  # the Hub says so of most
        saved.check_files(ref, info.config, [file.rfilename for file in info.siblings])
    return Found(4 * parameters, lambda: _load(ref, _download(ref)))


def _download(ref: Ref) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(
                ref.name, revision=ref.revision, allow_patterns=list(saved.FILES), etag_timeout=TIMEOUT, max_workers=2
            )
        )
    except HfHubHTTPError as error:
        raise _refusal(ref, error) from error
    except (httpx2.HTTPError, OSError) as error:
        raise unavailable(ref, f"its download did not finish ({_reason(error)})") from error


def _downloaded_before(ref: Ref, error: Exception) -> Found:
    """The copy from an earlier download, for when the Hub can't be reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            ref.name, revision=ref.revision, allow_patterns=list(saved.FILES), local_files_only=True
        )
    except LocalEntryNotFoundError:
        wrong = f"the Hugging Face Hub can't be reached ({_reason(error)}) and it was not downloaded before"
        raise unavailable(ref, wrong) from error
    try:
        saved.check(ref, Path(folder))
        parameters = saved.parameters(ref, Path(folder))
    except ExplorerError as fault:
        wrong = f"the Hugging Face Hub can't be reached ({_reason(error)}), and of its earlier download {fault.wrong}"
        raise unavailable(ref, wrong) from error
    check_parameters(ref, parameters)
    return Found(4 * parameters, lambda: _load(ref, Path(folder)))


def _allowed(ref: Ref) -> str:
    """The models of the list that fit here: how many, and those named most like the one that was asked for."""
    fitting = [name for name, parameters in ALLOWED.items() if parameters <= settings().limits.parameters]
    near = difflib.get_close_matches(ref.name, fitting, 6, 0)
    sizes = ", ".join(f"{name} ({ALLOWED[name] / 1e6:.0f} M parameters)" for name in near)
    return f"{len(fitting)} models, {sizes} among them" if fitting else "models that are too large for it"


def _load(ref: Ref, folder: Path) -> "Model":
    return saved.load(ref, folder, f"downloaded from the Hugging Face Hub, commit {folder.name}")


def _refusal(ref: Ref, error: Exception) -> Exception:
    """What the Hub's answer means."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return unavailable(ref, "its owner gives it only to people who asked on its page (it is gated)")
    if isinstance(error, RevisionNotFoundError):
        return unavailable(ref, f"the Hub has no revision {ref.revision!r} of it")
    if isinstance(error, RepositoryNotFoundError):
        return unavailable(ref, "the Hugging Face Hub has no model of that name, or it is private")
    return unavailable(ref, f"the Hugging Face Hub refused ({_reason(error)})")


def _reason(error: Exception) -> str:
    return (str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__)[:200]
