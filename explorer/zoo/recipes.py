"""How each shipped model is made: `python -m explorer.zoo build <name>` does it again from scratch."""

from dataclasses import dataclass

from explorer.training.config import TrainConfig


@dataclass(frozen=True)
class Painting:
    """How long each part of a text-to-image model learns, and how fast."""

    autoencoder_steps: int = 5000
    autoencoder_batch: int = 32
    autoencoder_lr: float = 2e-3
    steps: int = 7000
    batch: int = 64
    lr: float = 1e-3
    layout_steps: int = 5000  # after these, in which what is decided under much noise counts more
    layout_lr: float = 6e-4
    ema: float = 0.999
    judge_steps: int = 1500
    seed: int = 0


RECIPES: dict[str, TrainConfig | Painting] = {
    "digits-lenet": TrainConfig(),
    "shapes-resnet": TrainConfig(
        dataset="shapes",
        model="resnet",
        model_settings={"depth": 14, "width": 24, "stride": 2},
        epochs=12,
        lr=5e-3,
        weight_decay=0.05,
    ),
    "shapes-vit": TrainConfig(
        dataset="shapes",
        dataset_settings={"pictures": 12_000},  # a transformer needs more of them than a ResNet
        model="vit",
        model_settings={"patch": 8, "width": 96, "depth": 4, "heads": 4, "stem": "convolutions"},
        epochs=20,
        lr=1e-3,
        weight_decay=0.05,
    ),
    "shapes-shortcut": TrainConfig(
        dataset="shapes-shortcut",
        model="resnet",
        model_settings={"depth": 8, "width": 24, "stride": 2},
        epochs=4,
        lr=5e-3,
        weight_decay=0.05,
    ),
    "story-gpt": TrainConfig(
        dataset="story",
        model="gpt",
        epochs=24,
        label_smoothing=0.0,
        weight_decay=0.1,
    ),
    "story-bert": TrainConfig(
        dataset="story",
        model="bert",
        epochs=40,
        label_smoothing=0.0,
        weight_decay=0.1,
    ),
    "dates-seq2seq": TrainConfig(
        dataset="dates",
        model="seq2seq",
        epochs=12,
        label_smoothing=0.0,
    ),
    "points-mlp": TrainConfig(
        dataset="points",
        model="mlp",
        model_settings={"width": 6, "depth": 2, "activation": "tanh"},
        epochs=60,
        batch_size=32,
        optimizer="adam",
        lr=0.02,
        weight_decay=0.0,
        label_smoothing=0.0,
        clip_norm=0.0,
    ),
    "points-diffusion": TrainConfig(
        dataset="points",
        dataset_settings={"count": 5000},
        model="points-denoiser",
        epochs=200,
        batch_size=256,
        lr=3e-3,
        ema=0.999,
        label_smoothing=0.0,
    ),
    "points-flow": TrainConfig(
        dataset="points",
        dataset_settings={"count": 5000},
        model="points-denoiser",
        model_settings={"predicts": "flow"},
        epochs=200,
        batch_size=256,
        lr=3e-3,
        ema=0.999,
        label_smoothing=0.0,
    ),
    "digits-diffusion": TrainConfig(
        model="unet",
        epochs=120,
        lr=2e-3,
        ema=0.999,
        label_smoothing=0.0,
    ),
    "shapes-diffusion": Painting(),
}
TITLES = {
    "digits-lenet": "LeNet that reads digits",
    "shapes-resnet": "ResNet that names shapes",
    "shapes-vit": "Vision transformer that names shapes",
    "shapes-shortcut": "ResNet that learned a shortcut",
    "story-gpt": "Decoder that tells stories",
    "story-bert": "Encoder that fills gaps in stories",
    "dates-seq2seq": "Encoder-decoder that writes dates",
    "points-mlp": "Perceptron that tells two spirals apart",
    "points-diffusion": "Diffusion that draws spirals of points",
    "points-flow": "Flow matching that draws the same spirals",
    "digits-diffusion": "Diffusion that draws digits",
    "shapes-diffusion": "Diffusion that draws shapes from words",
}
