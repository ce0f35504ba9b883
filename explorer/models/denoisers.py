"""Networks that learn to tell noise from data: what is trained with them draws."""

from typing import Annotated, Any

from torch import nn

from explorer.models.base import MODELS, needs_image
from explorer.models.noise import FLOW
from explorer.models.points_denoiser import PointsDenoiser
from explorer.params import Choice, Slider

SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")  # as diffusers names them
Noise = Annotated[
    str,
    Choice(
        SCHEDULES,
        label="Noise schedule",
        help="How fast the data dissolve as time goes on; flow matching has a straight line of its own.",
        paper="https://arxiv.org/abs/2102.09672",
    ),
]
Predicts = Annotated[
    str,
    Choice(
        ("epsilon", "v_prediction", "sample", FLOW),
        label="What it predicts",
        help="The noise (epsilon), the clean example (sample), a mix of both that stays well-scaled (v_prediction), or "
        "the way from data to noise on a straight line (flow matching).",
        paper="https://arxiv.org/abs/2210.02747",
    ),
]
RECIPE = {"epochs": 100, "lr": 2e-3, "weight_decay": 0.01, "label_smoothing": 0.0, "ema": 0.995}


def no_points(shape: tuple[int, ...], **settings: object) -> str | None:
    """Why a shape is none of points."""
    return None if len(shape) == 1 else "it moves points in the plane, and these examples are none"


def uneven(shape: tuple[int, ...], width: int = 32, **settings: object) -> str | None:
    """Channels are normalised in groups of eight."""
    return needs_image(shape) or (None if width % 8 == 0 else "its width must be a multiple of 8")


@MODELS.register(
    "points-denoiser", reads=("points",), unfit=no_points, objective="denoise", task="points-generation",
    recipe=RECIPE | {"epochs": 200, "batch_size": 128},
)  # fmt: skip
def points_denoiser(
    shape: tuple[int],
    classes: int,
    width: Annotated[int, Slider(16, 256, step=16, help="Units in each hidden layer.")] = 128,
    depth: Annotated[int, Slider(1, 6, help="Hidden layers.")] = 3,
    noise: Noise = "linear",
    predicts: Predicts = "epsilon",
) -> nn.Module:
    """A perceptron that learns where points came from, and so to draw new ones.

    Source: Sohl-Dickstein et al. 2015, "Deep unsupervised learning using nonequilibrium thermodynamics", section 3.
    """
    return _planned(PointsDenoiser(width, depth, classes + 1), noise, predicts)


@MODELS.register(
    "unet", reads=("image",), unfit=uneven, objective="denoise", task="image-generation", recipe=RECIPE
)  # fmt: skip
def unet(
    shape: tuple[int, int, int],
    classes: int,
    width: Annotated[int, Slider(8, 128, step=8, help="Channels at full size; then twice as many.")] = 32,
    noise: Noise = "linear",
    predicts: Predicts = "epsilon",
) -> nn.Module:
    """A network that learns to see the noise in a picture, and so to draw new ones of each class.

    The picture is halved until it is about 4 pixels a side, where every place looks at every other, and doubled again;
    each size passes its details across. Source: Ho et al. 2020, "Denoising diffusion probabilistic models", appendix B.
    """
    from diffusers import UNet2DModel

    levels, side = 1, min(shape[1:])
    while side % 2 == 0 and side > 4 and max(shape[1:]) % 2**levels == 0:
        levels, side = levels + 1, side // 2
    attends = levels > 1
    net = UNet2DModel(
        sample_size=tuple(shape[1:]), in_channels=shape[0], out_channels=shape[0], layers_per_block=1,
        block_out_channels=(width, *(2 * width,) * (levels - 1)), norm_num_groups=8, attention_head_dim=16,
        down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D" if attends else "DownBlock2D",),
        up_block_types=("AttnUpBlock2D" if attends else "UpBlock2D",) + ("UpBlock2D",) * (levels - 1),
        num_class_embeds=classes + 1,
    )  # fmt: skip
    return _planned(net, noise, predicts)


def _planned(net: nn.Module, noise: str, predicts: str) -> nn.Module:
    """The network with its noise schedule beside it, as diffusers writes one."""
    net.plan: dict[str, Any] = {"num_train_timesteps": 1000, "prediction_type": predicts, "clip_sample": False}
    spacing = "leading" if noise == "squaredcos_cap_v2" else "trailing"  # its last state tells nothing of the picture
    net.plan |= {} if predicts == FLOW else {"beta_schedule": noise, "timestep_spacing": spacing}
    return net
