"""Operations against counts by hand: python -m pytest tests/test_flops.py"""

import pytest
import torch
from torch import nn
from torch.nn import functional

import explorer  # noqa: F401 - lets torchvision and transformers be imported
from explorer.flops import Counting, count


def x(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


CASES = {  # layer, its input, what a person counts
    "linear": (nn.Linear(5, 7), x(3, 5), 2 * 3 * 5 * 7),
    "linear without a bias": (nn.Linear(5, 7, bias=False), x(3, 4, 5), 2 * 12 * 5 * 7),
    "convolution": (nn.Conv2d(3, 4, 3), x(2, 3, 8, 8), 2 * 2 * 6 * 6 * 4 * 3 * 9),
    "convolution without a bias": (nn.Conv2d(3, 4, 3, bias=False), x(2, 3, 8, 8), 2 * 2 * 6 * 6 * 4 * 3 * 9),
    "padded and strided": (nn.Conv2d(3, 4, 3, stride=2, padding=1), x(1, 3, 8, 8), 2 * 4 * 4 * 4 * 3 * 9),
    "dilated": (nn.Conv2d(3, 4, 3, dilation=2), x(1, 3, 8, 8), 2 * 4 * 4 * 4 * 3 * 9),
    "grouped": (nn.Conv2d(4, 8, 3, groups=2), x(1, 4, 8, 8), 2 * 6 * 6 * 8 * 2 * 9),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), x(1, 4, 8, 8), 2 * 6 * 6 * 4 * 9),
    "one dimension": (nn.Conv1d(3, 4, 5), x(1, 3, 9), 2 * 5 * 4 * 3 * 5),
    "transposed": (nn.ConvTranspose2d(3, 4, 3, stride=2), x(1, 3, 5, 5), 2 * 5 * 5 * 3 * 4 * 9),
    "transposed in groups": (nn.ConvTranspose2d(4, 8, 2, groups=2), x(1, 4, 5, 5), 2 * 5 * 5 * 4 * 4 * 4),
    "batch normalisation": (nn.BatchNorm2d(3), x(2, 3, 4, 4), 4 * 96),
    "batch normalisation, not scaled": (nn.BatchNorm2d(3, affine=False), x(2, 3, 4, 4), 2 * 96),
    "instance normalisation": (nn.InstanceNorm2d(3), x(2, 3, 4, 4), 5 * 96),
    "instance normalisation, scaled": (nn.InstanceNorm2d(3, affine=True), x(2, 3, 4, 4), 7 * 96),
    "layer normalisation": (nn.LayerNorm(6), x(2, 5, 6), 7 * 60),
    "layer normalisation, not scaled": (nn.LayerNorm(6, elementwise_affine=False), x(2, 5, 6), 5 * 60),
    "group normalisation": (nn.GroupNorm(2, 4), x(1, 4, 3, 3), 7 * 36),
    "relu": (nn.ReLU(), x(2, 3, 4), 24),
    "relu in place": (nn.ReLU(inplace=True), x(2, 3, 4), 24),
    "gelu": (nn.GELU(), x(2, 3, 4), 24),
    "silu": (nn.SiLU(), x(2, 3, 4), 24),
    "softmax": (nn.Softmax(-1), x(2, 3, 4), 5 * 24),
    "largest of a window": (nn.MaxPool2d(3, 2), x(1, 3, 9, 9), 3 * 4 * 4 * 9),
    "mean of a window": (nn.AvgPool2d((2, 3)), x(1, 3, 4, 6), 3 * 2 * 2 * 6),
    "mean of everything": (nn.AdaptiveAvgPool2d(1), x(2, 3, 5, 5), 150),
    "windows of unequal size": (nn.AdaptiveAvgPool2d(2), x(1, 1, 5, 4), (3 + 3) * (2 + 2)),
    "embedding": (nn.Embedding(9, 4), torch.tensor([[1, 2, 3]]), 0),
    "flatten": (nn.Flatten(), x(2, 3, 4), 0),
    "dropout at rest": (nn.Dropout(), x(2, 3, 4), 0),
    "identity": (nn.Identity(), x(2, 3, 4), 0),
    "nearest": (nn.Upsample(scale_factor=2), x(1, 2, 3, 3), 0),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), x(1, 2, 3, 3), 7 * 72),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_layer_takes_what_one_counts_by_hand(name):
    layer, given, right = CASES[name]
    assert count(lambda: layer.eval()(given.clone())) == right


def test_batch_normalisation_measures_its_batch_in_training():
    assert count(lambda: nn.BatchNorm2d(3).train()(x(2, 3, 4, 4))) == 7 * 96


def test_a_convolution_of_transformers_that_is_a_linear_layer():
    from transformers.pytorch_utils import Conv1D

    assert count(lambda: Conv1D(7, 5)(x(2, 3, 5))) == 2 * 6 * 5 * 7


def test_attention_is_two_products_whichever_kernel_computes_it():
    query, key, value = x(1, 2, 5, 4), x(1, 2, 7, 4), x(1, 2, 7, 4)
    assert count(lambda: functional.scaled_dot_product_attention(query, key, value)) == 2 * (2 * 2 * 5 * 7 * 4)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_multi_head_attention_is_its_projections_and_its_products(weights, fused):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    tokens = x(1, 5, 8)
    others = tokens if fused else tokens.clone()  # torch has one kernel for all of it where a text attends to itself
    matrices = 4 * (2 * 5 * 8 * 8) + 2 * (2 * 5 * 5 * 8)
    found = count(lambda: layer(tokens, others, others, need_weights=weights))
    small = 5 * 2 * 5 * 5 + 2 * 5 * 5 + 5 * 8 * 3 + 2 * 5 * 5  # softmax, the mean over heads, scalings
    assert matrices <= found <= matrices + small


def test_products_of_vectors_count_like_matrices():
    assert count(lambda: x(3, 4) @ x(4)) == 2 * 12
    assert count(lambda: x(4) @ x(4)) == 8
    assert count(lambda: torch.einsum("ij,kj->ik", x(3, 4), x(5, 4))) == 2 * 3 * 4 * 5


def test_whole_numbers_and_masks_cost_nothing():
    assert count(lambda: torch.arange(9) + 1) == 0
    mask = torch.arange(9) > 3
    assert count(mask.logical_not) == 0


def test_what_has_no_rule_is_named_and_not_counted():
    with torch.no_grad(), Counting() as counting:
        torch.fft.fft(x(8))
    assert (counting.flops, counting.unknown) == (0, {"_fft_r2c"})


def test_a_resnet18_takes_what_its_paper_says():
    """1.814e9 multiply-adds in its convolutions and its linear layer, as torchvision's own page of weights has it."""
    from torchvision.models import resnet18

    net = resnet18().eval()
    products = []
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(lambda part, given, out: products.append(count(lambda: part.forward(given[0]))))
    with torch.no_grad():
        net(x(1, 3, 224, 224))
    assert sum(products) == pytest.approx(2 * 1.814e9, rel=0.01)
    assert sum(products) < count(lambda: net(x(1, 3, 224, 224))) < 1.02 * sum(products)
