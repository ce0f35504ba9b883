"""High-dimensional vectors as points of the plane, and how far such a picture can be trusted."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from explorer.errors import ExplorerError
from explorer.params import Number, Slider

COMPONENTS = 10  # principal components whose variance is told
NEAREST = 30  # neighbours that are looked up
TRUSTED = 10  # neighbours that trustworthiness asks for
STEPS = 1000  # of t-SNE
EPOCHS = 500  # of UMAP, for this many examples
EXACT = 4096  # examples from which on UMAP is content with nearly all of the nearest neighbours
SEEDS = 2**32 - 1

Seed = Annotated[int, Number(0, SEEDS, help="Another seed gives another, equally valid picture.")]


@dataclass(frozen=True, eq=False)
class Components:
    """The two directions in which N vectors differ most."""

    points: np.ndarray  # (N, 2) float32
    explained: np.ndarray  # (C,) the share of the variance that each of the first components has


def checked(x: np.ndarray) -> np.ndarray:
    """(N, D) float32 vectors that can be drawn; raises ExplorerError for those that can't."""
    x = np.asarray(x, np.float32)
    if x.ndim != 2 or len(x) < 3 or not x.shape[1]:
        raise ExplorerError(f"Vectors of the shape {x.shape}", "a picture needs three at least", "Choose more examples")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(1).sum())
        raise ExplorerError("The vectors", f"{bad:,} of {len(x):,} hold infinite numbers or none at all",
                            "Choose another layer or checkpoint")  # fmt: skip
    if not np.ptp(x, 0).any():
        raise ExplorerError("The vectors", "they are the same for all examples: this layer tells nothing apart",
                            "Choose another layer")  # fmt: skip
    return x


def pca(x: np.ndarray) -> Components:
    """The plane in which the vectors spread most; distances in it are true as far as that plane goes.

    x: (N, D). Raises ExplorerError for vectors that can't be drawn. Source: Pearson 1901; Hotelling 1933, section 4.
    """
    from sklearn.decomposition import PCA

    x = checked(x)
    made = PCA(min(COMPONENTS, *x.shape), random_state=0)
    points = made.fit_transform(x)[:, :2]
    points = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    return Components(points.astype(np.float32), made.explained_variance_ratio_)


def tsne(
    x: np.ndarray,
    start: np.ndarray | None = None,
    on_step: Callable[[float], None] = lambda share: None,
    perplexity: Annotated[float, Slider(2, 100, help="How many neighbours each example keeps close, roughly.")] = 30.0,
    seed: Seed = 0,
) -> np.ndarray:
    """Neighbours stay neighbours: who is near in the full space is near here; how far the others are means little.

    x: (N, D). start: (N, 2) a picture to begin with; None: the first principal components. on_step: is told the share
    that is done; what it raises ends it. Gives (N, 2) float32, as scikit-learn does for the same settings.
    Raises ExplorerError for vectors that can't be drawn, and for a perplexity that is not below N.
    Source: van der Maaten and Hinton 2008, sections 2 and 3; Barnes-Hut: van der Maaten 2014.
    """
    from sklearn.manifold import TSNE

    x = checked(x)
    if not perplexity < len(x):
        raise ExplorerError(f"A perplexity of {perplexity:g}", f"it must be below the number of examples, {len(x):,}",
                            "Lower it, or choose more examples")  # fmt: skip
    init: Any = "pca" if min(x.shape) > 1 else "random"
    if start is not None:  # small, as the principal components would be: far points hardly move
        init = (start / max(float(np.std(start[:, 0])), 1e-12) * 1e-4).astype(np.float32)
    with _counted(lambda done: on_step(min(done / STEPS, 1.0))):
        return TSNE(perplexity=perplexity, init=init, random_state=seed, max_iter=STEPS).fit_transform(x)


def umap(
    x: np.ndarray,
    start: np.ndarray | None = None,
    on_step: Callable[[float], None] = lambda share: None,
    neighbours: Annotated[int, Slider(2, 100, help="Few: fine detail. Many: the large shape.")] = 15,
    min_distance: Annotated[
        float, Slider(0.0, 0.99, step=0.01, label="Least distance", help="How closely points may be packed.")
    ] = 0.1,
    seed: Seed = 0,
) -> np.ndarray:
    """A graph of nearest neighbours laid out in the plane: clusters are real, gaps between them are hardly.

    Arguments, result and errors as of `tsne`; `start` None: the graph's spectral layout, which needs more than a few
    examples. It compiles itself first: only in a worker. Source: McInnes, Healy and Melville 2018, section 3.
    """
    from sklearn.metrics import pairwise_distances
    from umap import UMAP

    x = checked(x)
    if not neighbours < len(x):
        raise ExplorerError(f"{neighbours} neighbours", f"there must be fewer than examples, {len(x):,}",
                            "Lower them, or choose more examples")  # fmt: skip
    init: Any = ("spectral" if len(x) > 10 else "random") if start is None else start.astype(np.float32)
    told = {"file": _Told(lambda done: on_step(min(done / EPOCHS, 1.0))), "bar_format": "{n}", "disable": False}
    made = UMAP(
        n_neighbors=neighbours, min_dist=min_distance, random_state=seed, init=init, n_epochs=EPOCHS, n_jobs=1,
        tqdm_kwds=told,
    )  # fmt: skip
    if len(x) < EXACT:  # it would look among all distances too, with a search that takes ten seconds to compile
        distances = pairwise_distances(x)
        near = distances.argsort(1, kind="stable")[:, :neighbours].astype(np.int32)
        made.precomputed_knn = near, np.take_along_axis(distances, near, 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="precomputed_knn")  # nothing is put into the picture afterwards
        return np.asarray(made.fit_transform(x), np.float32)


METHODS = {"PCA": pca, "t-SNE": tsne, "UMAP": umap}


def aligned(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """A picture (N, 2) turned, mirrored and moved, but not stretched, to lie as close as it can to another one.

    Source: Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem".
    """
    from scipy.linalg import orthogonal_procrustes

    centred = points - points.mean(0)
    turn, _ = orthogonal_procrustes(centred.astype(np.float64), (onto - onto.mean(0)).astype(np.float64))
    return (centred @ turn + onto.mean(0)).astype(np.float32)


def neighbours(x: np.ndarray, count: int = NEAREST) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other examples of each, (N, K) numbers and (N, K) Euclidean distances, the nearest first.

    K is `count`, or all others where there are fewer.
    """
    from sklearn.neighbors import NearestNeighbors

    x = checked(x)
    found = NearestNeighbors(n_neighbors=min(count, len(x) - 1), algorithm="brute").fit(x)
    distances, indices = found.kneighbors()  # nobody is their own neighbour
    return indices.astype(np.int64), distances.astype(np.float32)


def vote(near: np.ndarray, y: np.ndarray, k: int) -> float:
    """The share of examples whose k nearest others, by majority, are of their own class; leave-one-out.

    near: (N, K) as of `neighbours`. Of classes with equally many votes the first counts, as in scikit-learn. Raises
    ExplorerError where k is not between 1 and K.
    """
    if not 1 <= k <= near.shape[1]:
        raise ExplorerError(f"{k} neighbours", f"{near.shape[1]} were looked up", "Choose fewer")
    classes, codes = np.unique(y, return_inverse=True)
    votes = np.zeros((len(y), len(classes)), np.int64)
    for column in codes[near[:, :k]].T:
        votes[np.arange(len(y)), column] += 1
    return float((votes.argmax(1) == codes).mean())


def chance(y: np.ndarray) -> float:
    """The share that is right when the most frequent class is always named."""
    return float(np.unique(y, return_counts=True)[1].max() / len(y))


def trust(x: np.ndarray, points: np.ndarray) -> float:
    """How many of the neighbours in the picture are neighbours in the full space too, 0 to 1; 1 means all of them.

    Source: Venna and Kaski 2001, section 3.1, over 10 neighbours, or nearly half of all examples where they are few.
    """
    from sklearn.manifold import trustworthiness

    count = min(TRUSTED, (len(x) - 1) // 2)
    return float(trustworthiness(x, points, n_neighbors=max(1, count)))


class _Told:
    """A file that hears how far UMAP's own bar is."""

    def __init__(self, on_step: Callable[[int], None]) -> None:
        self._on_step = on_step

    def write(self, text: str) -> None:
        said = text.strip()
        if said.isdecimal():
            self._on_step(int(said))

    def flush(self) -> None:
        """Nothing waits."""


_counting = threading.Lock()


@contextmanager
def _counted(on_step: Callable[[int], None]) -> Iterator[None]:
    """scikit-learn says nothing while it works, but asks for the divergence once a step: the questions are counted."""
    from sklearn.manifold import _t_sne

    asked, count = _t_sne._kl_divergence_bh, 0

    def counting(*values: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        on_step(count)
        return asked(*values, **named)

    with _counting:
        _t_sne._kl_divergence_bh = counting
        try:
            yield
        finally:
            _t_sne._kl_divergence_bh = asked
