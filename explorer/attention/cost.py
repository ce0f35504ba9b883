"""What attention costs, measured: time and memory against the length of the text, and the quadratic that fits them.

`python -m explorer.attention.cost` measures this machine and records it beside this file, for the page's first paint.
"""

import json
import math
import platform
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from explorer.attention.scratch import scaled_dot_product
from explorer.errors import ExplorerError
from explorer.params import Choice
from explorer.settings import GB, MB, cores, memory

RECORDED = Path(__file__).with_name("cost.json")
LENGTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1440, 2048, 2880, 4096, 8192)  # tokens
LEAST = 4  # lengths that a quadratic can be judged by
SECONDS = 4.0  # that a measurement may take
BLOCK = 32 * MB  # of memory, from which a CPU's allocator asks the system anew each time: another price, another curve
NAMES = ("attention", "fused", "linear")

_measuring = threading.Lock()  # two measurements at once would slow each other


@dataclass(frozen=True)
class Fit:
    """Seconds at n tokens: constant + linear · n + quadratic · n², none of them negative, as no cost is."""

    constant: float  # seconds
    linear: float  # seconds a token
    quadratic: float  # seconds a pair of tokens
    r2: float  # share of the variance of the seconds that it explains

    def at(self, tokens: np.ndarray | float) -> np.ndarray:
        """Seconds at so many tokens."""
        return self.constant + self.linear * tokens + self.quadratic * np.square(tokens, dtype=float)

    def shares(self, tokens: float) -> tuple[float, float, float]:
        """Of the constant, the linear and the quadratic term in the time at so many tokens; they sum to 1."""
        parts = self.constant, self.linear * tokens, self.quadratic * tokens**2
        return tuple(part / sum(parts) for part in parts)

    def __add__(self, other: "Fit") -> "Fit":
        """Of two things done one after the other; it explains as much as the worse of them."""
        return Fit(self.constant + other.constant, self.linear + other.linear, self.quadratic + other.quadratic,
                   min(self.r2, other.r2))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curve:
    """One thing measured at every length."""

    name: str  # one of NAMES
    seconds: np.ndarray  # (lengths,) of the quickest repeat: what else the machine does only ever adds
    bytes: np.ndarray  # (lengths,) of the tensors it makes that exist at once
    fit: Fit  # of the seconds


@dataclass(frozen=True, eq=False)
class Cost:
    """What one layer of a transformer costs on one machine, one text at a time.

    `attention` is `scaled_dot_product` from scratch, `fused` torch's, which never writes the weights down; `linear` is
    all that is linear in the length: the four projections and the perceptron of four times the width.
    """

    machine: str
    device: str
    width: int
    heads: int
    repeats: int
    lengths: np.ndarray  # tokens
    curves: tuple[Curve, ...]  # in the order of NAMES
    stopped: str  # why there is no longer length, "" if all were measured

    def curve(self, name: str) -> Curve:
        """The curve of that name."""
        return next(curve for curve in self.curves if curve.name == name)

    @property
    def layer(self) -> Fit:
        """Of the whole layer: attention and all that is linear."""
        return self.curve("attention").fit + self.curve("linear").fit

    def crossing(self, name: str = "attention") -> float | None:
        """The length from which attention takes longer than all that is linear, by the fits; None if there is none."""
        ours, other = self.curve(name).fit, self.curve("linear").fit
        terms = [getattr(ours, term) - getattr(other, term) for term in ("quadratic", "linear", "constant")]
        if terms[0] <= 0:
            return None
        roots = np.roots(terms)
        real = roots[np.isreal(roots)].real
        return float(real.max()) if real.size and real.max() > 0 else None

    @property
    def counted_crossing(self) -> int:
        """Where multiplications say that it is: 12 · width² a token against 2 · n · width a token."""
        return 6 * self.width


def fit(lengths: Sequence[float], seconds: Sequence[float]) -> Fit:
    """The quadratic with no negative term whose relative errors are the least, in squares.

    Relative, because timings err by a share of themselves; in plain seconds the longest length alone would decide.
    """
    from scipy.optimize import nnls

    n, t = np.asarray(lengths, float), np.asarray(seconds, float)
    top = n.max()
    terms = np.stack([np.ones_like(n), n / top, (n / top) ** 2], axis=1)  # (lengths, 3), all about 1
    found, _ = nnls(terms / t[:, None], np.ones_like(t))
    left = t - terms @ found
    r2 = 1 - (left**2).sum() / max(((t - t.mean()) ** 2).sum(), np.finfo(float).tiny)
    return Fit(float(found[0]), float(found[1] / top), float(found[2] / top**2), float(r2))


def measure(
    lengths: Sequence[int] = LENGTHS,
    width: Annotated[int, Choice((64, 128, 256, 512), help="Numbers that describe one token.")] = 256,
    heads: Annotated[int, Choice((1, 2, 4, 8), help="They share the width.")] = 4,
    repeats: int = 20,
    device: str = "cpu",
    seconds: float = SECONDS,
) -> Cost:
    """Time and weigh attention on this machine at ascending lengths; stops before one that would take too long.

    repeats: rounds over all lengths, of which the quickest counts, if there is time. seconds: for all of it, about.
    Raises ExplorerError if fewer than four lengths fit into them.
    """
    rows, stopped = [], ""  # of every length: each work with its quickest seconds and its bytes
    with _measuring, torch.inference_mode():
        _warm_up(width, heads, device)
        began = time.perf_counter()
        taken = 0.0  # seconds for the length before
        for index, tokens in enumerate(lengths):
            start = time.perf_counter()
            growth = (tokens / lengths[index - 1]) ** 2 if index else 1
            if start - began + taken * growth > seconds / 2:  # the other half is for repeats
                stopped = f"{tokens:,} tokens would take too long for {seconds:g} seconds in all"
            else:
                stopped = _too_large(tokens, heads, device)
            if stopped:
                break
            works = _works(tokens, width, heads, device)
            rows.append([(work, min(_time(work, device) for _ in range(2)), _peak(work, device)) for work in works])
            taken = time.perf_counter() - start
        _repeat(rows, repeats, device, until=began + seconds)
    if len(rows) < LEAST:
        raise ExplorerError(
            "Measuring what attention costs",
            f"only {len(rows)} lengths fit here, and {stopped}",
            "Choose a smaller width, or try again when the machine is less busy",
        )
    done = np.array(lengths[: len(rows)])
    table = np.array([[measured for _, *measured in row] for row in rows])  # (lengths, works, 2)
    curves = tuple(
        Curve(name, table[:, i, 0], table[:, i, 1].astype(np.int64), fit(done, table[:, i, 0]))
        for i, name in enumerate(NAMES)
    )
    return Cost(_machine(device), device, width, heads, repeats, done, curves, stopped)


def _works(tokens: int, width: int, heads: int, device: str) -> list[Callable[[], object]]:
    """What is measured, in the order of NAMES, on numbers that are ready."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, heads, tokens, width // heads, generator=generator).to(device)
    x = torch.randn(1, tokens, width, generator=generator).to(device)  # (1, T, width)
    square, up, down = (
        (torch.randn(size, generator=generator) / math.sqrt(size[1])).to(device)
        for size in ((width, width), (4 * width, width), (width, 4 * width))
    )

    def linear() -> Tensor:
        for _ in range(4):  # query, key, value, and what mixes the heads
            nn.functional.linear(x, square)
        return nn.functional.linear(nn.functional.gelu(nn.functional.linear(x, up)), down)

    return [
        lambda: scaled_dot_product(query, key, value),
        lambda: nn.functional.scaled_dot_product_attention(query, key, value),
        linear,
    ]


def _repeat(rows: list[list[tuple[Callable, float, int]]], repeats: int, device: str, until: float) -> None:
    """All lengths again, round by round, as long as there is time, keeping the quickest.

    In rounds, because what else the machine does comes in bursts: each length gets its chance in a quiet moment.
    Several times in a row, because the first run after another length asks the system for memory of its size.
    """
    for _ in range(repeats):
        for row in rows:
            for place, (work, quickest, held) in enumerate(row):
                row[place] = work, min(quickest, *(_time(work, device) for _ in range(3))), held
                if time.perf_counter() > until:
                    return


def _warm_up(width: int, heads: int, device: str) -> None:
    """Once at a small length, so that the first one measured doesn't pay for what happens at first use.

    A large block taken and given back tells the allocator to keep such blocks at hand.
    """
    torch.empty(BLOCK - 4096, dtype=torch.uint8)
    for work in _works(16, width, heads, device):
        _time(work, device)
        _peak(work, device)


def _time(work: Callable[[], object], device: str) -> float:
    """Seconds of one run."""
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: str) -> None:
    """Until the device has done what it was given: a GPU answers before it has."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def _peak(work: Callable[[], object], device: str) -> int:
    """Bytes of the tensors that `work` makes that exist at once.

    On CUDA all that is allocated; elsewhere without the little that one operation takes and gives back inside.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with Ledger() as ledger:
        work()
    return ledger.peak


class Ledger(TorchDispatchMode):
    """Inside `with Ledger() as ledger`, counts the bytes of the tensors that this thread makes, while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.sharing: dict[int, int] = {}  # address of a storage → tensors that share it
        self.held = self.peak = 0  # bytes

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = {leaf.untyped_storage().data_ptr() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf, given)
        return result

    def _add(self, tensor: Tensor, given: set[int]) -> None:
        storage = tensor.untyped_storage()
        name, size = storage.data_ptr(), storage.nbytes()
        if name not in self.sharing:
            if name in given:
                return  # a view of something that was there before
            self.held += size
            self.peak = max(self.peak, self.held)
        self.sharing[name] = self.sharing.get(name, 0) + 1
        weakref.finalize(tensor, self._drop, name, size)

    def _drop(self, name: int, size: int) -> None:
        self.sharing[name] -= 1
        if not self.sharing[name]:
            del self.sharing[name]
            self.held -= size


def _too_large(tokens: int, heads: int, device: str) -> str:
    """Why the scores of so many tokens are too large to be measured here; "" if they aren't."""
    matrix = 4 * heads * tokens**2  # bytes of the scores of all heads; the weights are as large
    if device == "cpu" and matrix >= BLOCK:
        return (
            f"at {tokens:,} tokens the scores alone take {matrix / MB:,.0f} MB, and memory in blocks above "
            f"{BLOCK // MB} MB comes fresh from the system each time, which is another curve"
        )
    if device == "cuda" and 3 * matrix > torch.cuda.mem_get_info()[0] // 4:
        return f"{tokens:,} tokens would take too much of the memory that is left"
    return ""


def _machine(device: str) -> str:
    """What the measurement ran on, in words."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        name = next(line.split(":")[1].strip() for line in about.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    told = f"{name}, {cores()} cores, {memory() / GB:.0f} GB, torch {torch.__version__}"
    return told if device == "cpu" else f"{told}, {device}"


def save(cost: Cost, path: Path = RECORDED) -> None:
    """Write a measurement down as JSON."""
    text = json.dumps(asdict(cost), indent=1, default=lambda array: array.tolist())
    path.write_text(text + "\n", encoding="utf-8")


def recorded(path: Path = RECORDED) -> Cost:
    """The measurement that was written down."""
    about = json.loads(path.read_text(encoding="utf-8"))
    curves = tuple(
        Curve(one["name"], np.array(one["seconds"]), np.array(one["bytes"]), Fit(**one["fit"]))
        for one in about.pop("curves")
    )
    return Cost(**about | {"lengths": np.array(about["lengths"]), "curves": curves})


if __name__ == "__main__":
    found = measure(repeats=200, seconds=30)
    save(found)
    print(f"{found.machine}: {found.lengths[-1]:,} tokens, {found.layer}, crossing at {found.crossing()}")
