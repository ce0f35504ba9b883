"""How many floating-point operations a network takes, counted operator by operator while it runs."""

from collections.abc import Callable, Mapping
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

CONVENTION = (
    "Convolutions, matrix products and attention: 2 operations for each multiply-add, as torch's own counter has it; "
    "an added bias is not counted. Everything that works on one number at a time (ReLU, +, ×, GELU): 1 for each number "
    "that it gives out. Pooling: the area of the window for each number given out. Sums, means and maxima: 1 for each "
    "number that goes in; softmax 5, layer, group and instance normalisation 5, batch normalisation 2 (5 in training), "
    "and 2 more where they scale and shift. Embeddings, copies and changes of shape: 0."
)

SOFTMAX = 5  # for each number: maximum, difference, exponential, sum, quotient
LOG_SOFTMAX = 6  # and the logarithm
LAYER_NORM = 5  # for each number: mean, difference, square, its mean, product with 1/σ
BATCH_NORM = 2  # for each number: difference from the running mean, product with 1/σ
AFFINE = 2  # for each number: product with the weight, sum with the bias
BLEND = {1: 3, 2: 7, 3: 15}  # dimensions of linear interpolation → multiplications and sums for each number given out
CUBIC = 31  # of bicubic interpolation: 16 products and 15 sums

FREE = frozenset(  # they make, move or name numbers, and compute none
    """
    _assert_async _embedding_bag _local_scalar_dense _reshape_alias _to_copy _unsafe_index _unsafe_view
    _upsample_nearest_exact1d _upsample_nearest_exact2d arange as_strided_ bernoulli bernoulli_ bucketize cat
    channel_shuffle clone constant_pad_nd contiguous copy copy_ detach detach_ embedding empty empty_like
    empty_permuted empty_strided expand eye fill fill_ flip full full_like gather im2col index index_copy index_copy_
    index_fill index_put index_put_ index_select is_nonzero item lift lift_fresh lift_fresh_copy linspace logspace
    masked_select multinomial native_channel_shuffle native_dropout new_empty new_empty_strided new_full new_ones
    new_zeros nonzero normal normal_ one_hot ones ones_like pixel_shuffle pixel_unshuffle rand rand_like randint
    randint_like randn randn_like randperm reflection_pad1d reflection_pad2d repeat repeat_interleave
    replication_pad1d replication_pad2d resize_ roll rot90 scalar_tensor scatter scatter_ searchsorted select_scatter
    set_ slice_scatter split_with_sizes_copy stack tril tril_ triu triu_ unfold_copy uniform_ unique_consecutive
    upsample_nearest1d upsample_nearest2d upsample_nearest3d zero_ zeros zeros_like
    """.split()  # noqa: SIM905
)
REDUCTIONS = frozenset(  # 1 for each number that goes in
    """
    all amax aminmax amin any argmax argmin cummax cumprod cumsum cumsum_ linalg_vector_norm logcumsumexp logsumexp max
    mean median min nansum norm prod sum
    """.split()  # noqa: SIM905
)
SPREADS = frozenset({"std", "std_mean", "var", "var_mean"})  # 4: mean, difference, square, its mean
ONE_EACH = frozenset(  # 1 for each number given out, though torch does not mark them so
    "_prelu_kernel glu hardswish hardsigmoid hardtanh log_sigmoid_forward mish celu celu_ rrelu_with_noise".split()  # noqa: SIM905
)


def operations(func: Any, args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int | None:
    """The operations of one call of an operator (see CONVENTION); None where no rule says."""
    packet, name = func._overloadpacket, func._overloadpacket.__name__
    if packet in flop_registry:
        return flop_registry[packet](*args, **keywords, out_val=out)
    if name in RULES:
        return RULES[name](args, keywords, out)
    if name in FREE or any(one.alias_info and not one.alias_info.is_write for one in func._schema.returns):
        return 0
    if not _floats(args, out):
        return 0  # counters and masks: whole numbers only
    if name in REDUCTIONS:
        return first(args).numel()
    if name in SPREADS:
        return 4 * first(args).numel()
    if torch.Tag.pointwise in func.tags or name in ONE_EACH:
        return _given_out(out)
    return None


class Counting(TorchDispatchMode):
    """Counts the operations of everything that runs inside the `with`, where gradients are off."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.unknown: set[str] = set()  # operators that no rule is known for, and that are not counted

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        counted = operations(func, args, kwargs or {}, out)
        if counted is None:
            self.unknown.add(func._overloadpacket.__name__)
        self.flops += counted or 0
        return out


def count(run: Callable[[], Any]) -> int:
    """The operations of whatever `run` computes."""
    with torch.inference_mode(False), torch.no_grad(), Counting() as counting:
        run()
    return counting.flops


def first(value: Any) -> Tensor:
    """The first tensor of an operator's arguments or results."""
    if isinstance(value, Tensor):
        return value
    return next(found for found in value if isinstance(found, Tensor))


def _given_out(out: Any) -> int:
    return sum(one.numel() for one in (out if isinstance(out, tuple | list) else (out,)) if isinstance(one, Tensor))


def _floats(args: Any, out: Any) -> bool:
    values = [*args, *(out if isinstance(out, tuple | list) else (out,))]
    return any(isinstance(one, Tensor) and (one.is_floating_point() or one.is_complex()) for one in values)


def _argument(args: tuple[Any, ...], keywords: Mapping[str, Any], at: int, name: str) -> Any:
    return args[at] if len(args) > at else keywords.get(name)


def _window(dimensions: int) -> Callable[..., int]:
    """The area of the window for each number given out; a size given once holds for all dimensions."""

    def rule(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
        size = list(_argument(args, keywords, 1, "kernel_size"))
        return first(out).numel() * prod(size if len(size) == dimensions else size * dimensions)

    return rule


def _adaptive(dimensions: int) -> Callable[..., int]:
    """Windows of output o reach from ⌊o·I/O⌋ to ⌈(o+1)·I/O⌉; the numbers in all of them."""

    def rule(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
        given, made = first(args).shape, first(out).shape
        covered = [
            sum(ceil((o + 1) * i / n) - o * i // n for o in range(n))
            for i, n in zip(given[-dimensions:], made[-dimensions:], strict=True)
        ]
        return prod(made[:-dimensions]) * prod(covered)

    return rule


def _norm(each: int, weight: int, name: str = "weight") -> Callable[..., int]:
    def rule(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
        return first(args).numel() * (each + AFFINE * (_argument(args, keywords, weight, name) is not None))

    return rule


def _batch_norm(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
    """Frozen it takes what it has learned of a channel; in training, and for an instance, it measures that first."""
    training = next((one for one in (*args, *keywords.values()) if isinstance(one, bool)), False)
    return _norm(LAYER_NORM if training else BATCH_NORM, 1)(args, keywords, out)


def _each(times: int) -> Callable[..., int]:
    return lambda args, keywords, out: times * first(out).numel()


def _attention(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
    return sdpa_flop_count(*(one.shape for one in args[:3]))


def _whole_attention(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
    """torch's fused self-attention of (B, T, D): three projections, scores, softmax, mixing, one projection."""
    query, key, heads = args[0], args[1], args[4]
    (batch, length, width), others = query.shape, key.shape[1]
    projected = 2 * batch * width * width * (2 * length + 2 * others)
    return projected + 4 * batch * length * others * width + SOFTMAX * batch * heads * length * others


def _products(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
    return 2 * args[0].numel()  # (n, m)·(m,) or (m,)·(m,)


def _added_products(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
    return 2 * args[1].numel() * (args[2].shape[-1] if args[2].ndim > 1 else 1)


def _recurrent(args: tuple[Any, ...], keywords: Mapping[str, Any], out: Any) -> int:
    """One layer of a fused recurrent network: both weights times every step of every sequence."""
    given, inner, outer = args[:3]
    return 2 * (inner.numel() + outer.numel()) * (given.numel() // given.shape[-1])


RULES: dict[str, Callable[..., int]] = {
    "_softmax": _each(SOFTMAX),
    "_safe_softmax": _each(SOFTMAX),
    "_log_softmax": _each(LOG_SOFTMAX),
    "native_layer_norm": _norm(LAYER_NORM, 2),
    "native_group_norm": _norm(LAYER_NORM, 1),
    "_fused_rms_norm": _norm(3, 2),  # square, its mean, product with 1/σ
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_no_training": _norm(BATCH_NORM, 1),
    "cudnn_batch_norm": _batch_norm,
    "miopen_batch_norm": _batch_norm,
    "avg_pool2d": _window(2),
    "avg_pool3d": _window(3),
    "max_pool2d_with_indices": _window(2),
    "max_pool3d_with_indices": _window(3),
    "_adaptive_avg_pool2d": _adaptive(2),
    "_adaptive_avg_pool3d": _adaptive(3),
    "adaptive_max_pool2d": _adaptive(2),
    "adaptive_max_pool3d": _adaptive(3),
    "upsample_linear1d": _each(BLEND[1]),
    "upsample_bilinear2d": _each(BLEND[2]),
    "_upsample_bilinear2d_aa": _each(BLEND[2]),
    "upsample_trilinear3d": _each(BLEND[3]),
    "upsample_bicubic2d": _each(CUBIC),
    "_upsample_bicubic2d_aa": _each(CUBIC),
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_fused_attention_overrideable": _attention,
    "_native_multi_head_attention": _whole_attention,
    "mv": _products,
    "dot": _products,
    "vdot": _products,
    "addmv": _added_products,
    "addmv_": _added_products,
    "addbmm": _added_products,
    "mkldnn_rnn_layer": _recurrent,
}
