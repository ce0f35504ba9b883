"""Every architecture: python -m pytest tests/models"""

import pytest
import torch
from torch import nn

from explorer import models
from explorer.data.text import PAD
from explorer.errors import ExplorerError
from explorer.models.base import outline
from explorer.models.vit import Attention
from explorer.params import Choice, params
from explorer.training.objectives import OBJECTIVES, denoises, objective

SHAPES = {"digits": (1, 8, 8), "cifar10": (3, 32, 32), "shapes": (3, 64, 64), "points": (2,)}
READS_TEXT = [name for name in models.MODELS if "text" in " ".join(models.reads(name))]
READS_PICTURES = [name for name in models.MODELS if name not in READS_TEXT]
DENOISERS = [name for name in models.MODELS if denoises(name)]
CLASSIFIERS = [name for name in READS_PICTURES if name not in DENOISERS]
FITTING = [(name, shape) for shape in SHAPES.values() for name in models.fitting(shape) if name not in DENOISERS]


@pytest.mark.parametrize(("name", "shape"), FITTING)
def test_an_architecture_gives_one_score_a_class_and_learns(name, shape):
    model = models.build(name, shape, classes=3, seed=1)
    x, y = torch.randn(6, *shape, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])
    assert model(x).shape == (6, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=models.MODELS[name].facts.get("recipe", {}).get("lr", 3e-3))
    losses = []
    while len(losses) < 80 and (not losses or losses[-1] >= 0.3 * losses[0]):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters() if p.ndim > 1)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 20), (1, 7, 7), (2,)], ids=str)
@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample", "flow"])
def test_a_denoiser_answers_a_state_with_its_like_and_learns(shape, predicts):
    (name,) = (name for name in models.fitting(shape) if name in DENOISERS)
    model = models.build(name, shape, classes=3, seed=1, width=16, predicts=predicts)
    chance = torch.Generator().manual_seed(0)
    x, y = 0.3 * torch.randn(64, *shape, generator=chance), torch.arange(64) % 3
    ask = objective(name, model)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        inputs, wanted = ask(x, y, chance)
        answer = model(*inputs)
        answer = getattr(answer, "sample", answer)
        assert answer.shape == wanted.shape == x.shape
        loss = nn.functional.mse_loss(answer, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


def test_one_time_for_all_points_is_worked_out_once_and_changes_nothing():
    model = models.build("points-denoiser", (2,), classes=2, seed=1, width=16)
    x, classes = torch.randn(7, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    for given in (classes, None):
        torch.testing.assert_close(model(x, torch.tensor(5), given), model(x, torch.full((7,), 5), given))


@pytest.mark.parametrize("name", READS_TEXT)
def test_a_language_model_gives_one_score_a_word_at_every_token_and_learns(name):
    model = models.build(name, (12,), classes=20, seed=1, width=16, depth=1)
    ids = torch.randint(5, 20, (6, 12), generator=torch.Generator().manual_seed(0))
    (inputs, y) = OBJECTIVES[models.MODELS[name].facts["objective"]](ids, ids, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        logits = model(*inputs)
        assert logits.shape == (*y.shape, 20)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("name", READS_TEXT)
def test_padding_changes_no_answer(name):
    model = models.build(name, (12,), classes=20, seed=1, width=16, depth=1).eval()
    ids = torch.randint(5, 20, (1, 7), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([ids, torch.full((1, 5), PAD)], 1)
    given, longer = ((ids, ids), (padded, ids)) if name == "seq2seq" else ((ids,), (padded,))
    with torch.inference_mode():
        torch.testing.assert_close(model(*longer)[:, :7], model(*given), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", models.MODELS)
def test_the_seed_alone_decides_the_weights(name):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    shape = (2,) if name == "points-denoiser" else (1, 8, 8) if name in READS_PICTURES else (12,)
    one, same, other = (models.build(name, shape, 3, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state), "the process-wide randomness was used"
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert all(torch.isfinite(value).all() for value in one.state_dict().values())


@pytest.mark.parametrize("name", models.MODELS)
def test_every_setting_has_help_and_a_default_in_range(name):
    entry = models.MODELS[name]
    assert entry.summary.endswith(".")
    for param in params(entry.make).values():
        assert param.control.help
        assert param.control.wrong(param.default) is None


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_choice_builds_whatever_its_size(name):
    shape, built = (3, 64, 64), 0
    for param in params(models.MODELS[name].make).values():
        for option in param.control.options if isinstance(param.control, Choice) else ():
            if models.unfit(name, shape, **{param.name: option}) is None:
                net = outline(name, shape, 2, **{param.name: option})  # no memory is taken, so that any size is quick
                assert net(torch.zeros(2, *shape, device="meta")).shape == (2, 2)
                built += 1
    assert built > 1


OFFERED = [
    (name, param.name, option)
    for name in CLASSIFIERS
    for param in params(models.MODELS[name].make).values()
    if param.name in ("activation", "norm", "dropout", "drop_block", "stochastic_depth")
    for option in (param.control.options if isinstance(param.control, Choice) else (0.2,))
]


@pytest.mark.parametrize(("name", "setting", "option"), OFFERED)
def test_what_an_architecture_offers_beside_its_size_learns(name, setting, option):
    if setting in ("drop_block", "norm") and name in ("densenet", "efficientnet", "resnet", "vgg"):
        shape, size = (1, 16, 16), {"densenet": {"stem": "small"}}.get(name, {})
    else:
        shape, size = (1, 8, 8), {}
    model = models.build(name, shape, 3, seed=1, **size, **{setting: option})
    chance = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, *shape, generator=chance), torch.arange(12) % 3
    x[torch.arange(12), 0, y] += 2.0  # a bright row, another one for each class
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of what is dropped
        while len(losses) < 40 and (len(losses) < 6 or sum(losses[-3:]) >= 0.8 * sum(losses[:3])):
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
            optimizer.step()
            losses.append(loss.item())
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_linear_and_convolution_weights_have_pytorchs_default_spread():
    built = models.build("lenet", (3, 32, 32), 10, width=32)
    for module in built.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            reference = type(module).reset_parameters
            before = module.weight.std().item()
            reference(module)
            assert before == pytest.approx(module.weight.std().item(), rel=0.15)


def test_our_attention_equals_multihead_attention():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = Attention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(2, 5, 16, generator=generator)
    seen = []
    ours.softmax.register_forward_hook(lambda module, inputs, output: seen.append(output))
    expected, weights = theirs(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(seen[0], weights)


def test_resnet_20_has_the_papers_parameter_count():
    count = sum(p.numel() for p in models.build("resnet", (3, 32, 32), 10, depth=20).parameters())
    shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64  # ours are projections (option B), the paper's CIFAR ones are free
    assert count - shortcuts == pytest.approx(0.27e6, rel=0.01)  # He et al. 2016, table 6


@pytest.mark.parametrize(
    ("name", "shape", "settings", "words"),
    [
        ("nonsense", (1, 8, 8), {}, "there is none of that name"),
        ("lenet", (2,), {}, "takes pictures, and these examples are not. Choose one of: .*mlp"),
        ("lenet", (1, 3, 3), {}, "4 pixels a side at least. Choose one of: .*mlp"),
        ("vit", (3, 60, 64), {}, "don't tile a picture of 60×64. Choose patch 4"),
        ("vit", (3, 64, 64), {"width": 48, "heads": 5}, "not one of"),
        ("mlp", (2,), {"width": 10**9}, "not between"),
        ("mlp", (2,), {"colour": 1}, "no setting"),
        ("mlp", (2,), {"depth": 1.5}, "not a whole number"),
        ("mlp", (2,), {"drop_block": 0.1}, "no setting 'drop_block'"),
        ("mlp", (2,), {"norm": "instance"}, "not one of"),
        ("mlp", (2,), {"norm": "group", "width": 20}, "8 equal groups of several units, and its width is 20"),
        ("mlp", (2,), {"norm": "group", "width": 8}, "of several units"),
        ("mlp", (2,), {"dropout": 0.95}, "not between 0 and 0.9"),
        ("lenet", (1, 8, 8), {"norm": "group", "width": 12}, "and it has 12 channels. Choose width 16, or norm none"),
        ("vgg", (1, 7, 9), {}, "halves the picture 3 times: 8 pixels a side"),
        ("vgg", (3, 28, 28), {"layout": "16"}, "32 pixels a side"),
        ("vgg", (1, 8, 8), {"drop_block": 0.1}, "maps of 2 cells a side. Choose drop_block 0.0"),
        ("resnet", (1, 8, 8), {"stem": "imagenet"}, "16 pixels a side"),
        (
            "resnet",
            (3, 64, 64),
            {"stem": "imagenet", "stride": 2},
            "the small stem.*Choose stem small, or stride 1",
        ),
        ("resnet", (1, 8, 8), {"stride": 2, "norm": "instance"}, "maps of 1×1"),
        ("resnet", (1, 8, 8), {"drop_block": 0.1}, "squares of 3×3"),
        ("densenet", (1, 8, 8), {"norm": "instance"}, "maps of 1×1"),
        ("densenet", (3, 64, 64), {"norm": "group", "growth": 12}, "8 equal groups, and it has 36 channels"),
        ("efficientnet", (1, 8, 8), {"layout": "b0"}, "32 pixels a side"),
        ("efficientnet", (3, 32, 32), {"layout": "b0", "norm": "instance"}, "maps of 1×1"),
        ("cnn-transformer", (1, 2, 2), {}, "two at least"),
        ("cnn-transformer", (1, 8, 8), {"width": 50, "heads": 4}, "shared by 4 heads. Choose width 64, or heads 2"),
        ("vit", (1, 8, 8), {"drop_block": 0.1}, "no setting"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_sentence(name, shape, settings, words):
    with pytest.raises(ExplorerError, match=words):
        models.build(name, shape, 3, **settings)
