"""`hf:<owner>/<name>`: classifiers, language models, diffusion pipelines of the Hub, never with code of their own."""

import contextlib
import difflib
import fnmatch
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.errors import ExplorerError
from explorer.settings import MB, settings
from explorer.zoo import saved, saved_diffusion
from explorer.zoo.catalogue import CATALOGUE
from explorer.zoo.refs import Ref
from explorer.zoo.sources.base import SOURCES, Remote, check_parameters, unavailable

if TYPE_CHECKING:
    from explorer.zoo.model import Model

TIMEOUT = 5  # seconds until the Hub counts as out of reach
ALLOWED = {entry.name: entry.parameters for entry in CATALOGUE}  # what a shared server opens
NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_]|[.-](?![.-])){0,95}"  # as the Hub allows: no two dots or dashes in a row


@SOURCES.register(
    "hf",
    form="hf:<owner>/<name>",
    pattern=re.compile(rf"(?P<name>{NAME}(?:/{NAME})?)(?:@(?P<revision>{NAME}))?"),
)
def find(ref: Ref) -> Remote:
    """An image classifier, a language model or a diffusion pipeline from the Hugging Face Hub."""
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if settings().shared:
        if ref.name not in ALLOWED or ref.revision:
            raise unavailable(ref, f"this server is shared: of the Hub it opens only {_allowed(ref)}")
        check_parameters(ref, ALLOWED[ref.name])
    _share_client()
    try:
        info = HfApi().model_info(ref.name, revision=ref.revision, files_metadata=True, timeout=TIMEOUT)
    except HFValidationError as error:
        raise unavailable(ref, "the Hub has no such names") from error
    except HfHubHTTPError as error:
        if _busy(error):
            return _downloaded_before(ref, error)
        raise _refusal(ref, error) from error
    except (httpx2.HTTPError, OSError) as error:
        return _downloaded_before(ref, error)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    look = _pipeline if saved_diffusion.INDEX in sizes else _network
    wanted, parameters = look(ref, info, sizes)
    download = sum(sizes[name] for name in wanted if not _kept(ref, info.sha, name))
    _check_size(ref, parameters, download)
    return Remote(4 * parameters, lambda: _load(ref, _download(ref, wanted)), download)


@functools.cache
def _share_client() -> None:
    """Keep the client open that all downloads share: huggingface_hub 2.4 closes it when one of them can't connect."""
    from huggingface_hub.utils._http import default_client_factory, set_client_factory

    def lasting() -> Any:
        client = default_client_factory()
        client.close = lambda: None  # its sockets go with it, once no download holds it
        return client

    set_client_factory(lasting)


def _network(ref: Ref, info: Any, sizes: Mapping[str, int]) -> tuple[list[str], int]:
    """The files of a classifier or a language model, and its parameters: counted by the Hub, or by their size."""
    wanted = [name for name in sizes if any(fnmatch.fnmatch(name, pattern) for pattern in saved.FILES)]
    weights = [name for name in wanted if any(fnmatch.fnmatch(name, pattern) for pattern in saved.WEIGHTS)]
    if not weights:
        raise unavailable(ref, "it has no weights as safetensors, and pickled ones are not opened: they can run code")
    if info.config and "model_type" in info.config:  # the Hub says so of most
        saved.check_files(ref, info.config, sizes)
    counts = info.safetensors.parameters if info.safetensors else {"F32": sum(map(sizes.get, weights)) // 4}
    return wanted, _weights(counts)


def _pipeline(ref: Ref, info: Any, sizes: Mapping[str, int]) -> tuple[list[str], int]:
    """The files of a diffusion pipeline, and its parameters: from the headers of its weights, half precision or not."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import SafetensorsParsingError

    with _fetching(ref):
        path = hf_hub_download(ref.name, saved_diffusion.INDEX, revision=info.sha, etag_timeout=TIMEOUT)
    index = saved_diffusion.read(ref, Path(path).parent)
    saved_diffusion.check_files(ref, index, sizes)
    wanted, parameters = [name for name in saved_diffusion.files(ref, index, sizes) if name in sizes], 0
    for name in wanted:
        if name.endswith(".safetensors"):
            try:
                with _fetching(ref):
                    header = HfApi().parse_safetensors_file_metadata(ref.name, name, revision=info.sha, timeout=TIMEOUT)
                parameters += _weights(header.parameter_count)
            except (SafetensorsParsingError, *saved.UNREADABLE) as error:
                raise unavailable(ref, f"its file {name} is damaged") from error
    return wanted, parameters


def _weights(counts: Mapping[str, int]) -> int:
    """How many of these numbers, counted by their kind, are weights."""
    return sum(count for dtype, count in counts.items() if saved.is_weight(dtype))


def _kept(ref: Ref, commit: str, name: str) -> bool:
    """Whether a file was downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(ref.name, name, revision=commit), str)


def _check_size(ref: Ref, parameters: int, download: int) -> None:
    """Refuse what is too large for this server, and say what it would take, before it is downloaded."""
    limits = settings().limits
    takes = f"{_mb(download)} to download, {_mb(4 * parameters)} in memory"
    if parameters > limits.parameters:
        most = f"this server opens up to {limits.parameters:,}"
        raise unavailable(ref, f"it has {parameters:,} parameters ({takes}), and {most}")
    if 4 * parameters > limits.store:
        raise unavailable(ref, f"it is too large ({takes}): {_mb(limits.store)} is what this server keeps for models")


def _mb(size: int) -> str:
    return f"{-(-size // MB):,} MB"


@contextlib.contextmanager
def _fetching(ref: Ref) -> Iterator[None]:
    """What goes wrong while the Hub answers, in a sentence."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        raise _refusal(ref, error) from error
    except (httpx2.HTTPError, OSError) as error:
        raise unavailable(ref, f"its download did not finish ({_reason(error)})") from error


def _download(ref: Ref, wanted: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    with _fetching(ref):
        return Path(
            snapshot_download(
                ref.name, revision=ref.revision, allow_patterns=wanted, etag_timeout=TIMEOUT, max_workers=2
            )
        )


def _downloaded_before(ref: Ref, error: Exception) -> Remote:
    """The copy from an earlier download, for when the Hub can't be reached."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder, wanted = _complete(ref, [saved_diffusion.INDEX]), saved.FILES
        if (folder / saved_diffusion.INDEX).is_file():
            index = saved_diffusion.read(ref, folder)
            wanted = saved_diffusion.files(ref, index, saved_diffusion.listing(folder))
        _complete(ref, wanted)
        saved.check(ref, folder)
        parameters = saved.parameters(ref, folder)
    except LocalEntryNotFoundError:
        wrong = f"the Hugging Face Hub can't be reached ({_reason(error)}) and it was not downloaded before"
        raise unavailable(ref, wrong) from error
    except ExplorerError as fault:
        wrong = f"the Hugging Face Hub can't be reached ({_reason(error)}), and of its earlier download {fault.wrong}"
        raise unavailable(ref, wrong) from error
    check_parameters(ref, parameters)
    return Remote(4 * parameters, lambda: _load(ref, folder), 0)


def _complete(ref: Ref, patterns: Sequence[str]) -> Path:
    """The folder of an earlier download; raises LocalEntryNotFoundError where a file that matches is known to lack."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(ref.name, revision=ref.revision, allow_patterns=list(patterns), local_files_only=True)
    )


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


def _busy(error: Exception) -> bool:
    """Whether the Hub may well answer later: too many have asked, or it is not well."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return status == 429 or status >= 500


def _reason(error: Exception) -> str:
    return (str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__)[:200]
