"""`hf:<owner>/<name>`: image classifiers of the Hugging Face Hub, safetensors only and never with code of their own."""

import fnmatch
import re
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.settings import settings
from explorer.zoo import saved
from explorer.zoo.refs import Ref
from explorer.zoo.sources.base import SOURCES, check_parameters, unavailable
from explorer.zoo.store import Found

if TYPE_CHECKING:
    from explorer.zoo.model import Model

TIMEOUT = 5  # seconds until the Hub counts as out of reach
ALLOWED = {  # what a shared server opens, and how many parameters it has
    "facebook/convnextv2-atto-1k-224": 3_708_400,
    "facebook/deit-tiny-patch16-224": 5_717_416,
    "microsoft/resnet-18": 11_689_512,
    "microsoft/resnet-50": 25_557_032,
    "google/vit-base-patch16-224": 86_567_656,
}
NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_]|[.-](?![.-])){0,95}"  # as the Hub allows: no two dots or dashes in a row


@SOURCES.register(
    "hf",
    form="hf:<owner>/<name>",
    pattern=re.compile(rf"(?P<name>{NAME}(?:/{NAME})?)(?:@(?P<revision>{NAME}))?"),
)
def find(ref: Ref) -> Found:
    """An image classifier from the Hugging Face Hub."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if settings().shared:
        if ref.name not in ALLOWED or ref.revision:
            most = settings().limits.parameters
            some = ", ".join(f"{name} ({count / 1e6:.0f} M)" for name, count in ALLOWED.items() if count <= most)
            raise unavailable(ref, f"this server is shared: of the Hub it opens, by millions of parameters, {some}")
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
    parameters = info.safetensors.total if info.safetensors else sum(sizes.values()) // 4
    check_parameters(ref, parameters)
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
    parameters = saved.parameters(ref, Path(folder))
    check_parameters(ref, parameters)
    return Found(4 * parameters, lambda: _load(ref, Path(folder)))


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
