"""What to train and how: every setting of a run, with its range, its meaning and its paper."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

from explorer.errors import ExplorerError
from explorer.params import Choice, LogSlider, Number, Slider, Toggle, check, shown
from explorer.training.schedules import SCHEDULES

OPTIMIZERS = ("adamw", "adam", "rmsprop", "sgd")
PRECISIONS = ("auto", "off", "bf16", "fp16")
STEERED = ("sgd", "rmsprop")  # optimisers that take a momentum from outside


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """One training run, complete: the same config and seed on the same device give the same numbers.

    The `settings` of model and data set are pairs (name, value); a dict is taken too.
    """

    dataset: str = "digits"
    model: str = "lenet"
    epochs: Annotated[int, Slider(1, 200, group="Length", help="How often every training example is seen.")] = 30
    batch_size: Annotated[
        int,
        Choice(
            (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            group="Length",
            help="Examples that share one step, or all of them: larger batches give smoother, fewer steps.",
            paper="https://arxiv.org/abs/1812.06162",
        ),
    ] = 64
    accumulate: Annotated[
        int,
        Choice(
            (1, 2, 4, 8, 16),
            label="Gradient accumulation",
            group="Length",
            help="Batches whose gradients are added up before one step is taken: the step of a large batch, in the "
            "memory of a small one. Batch normalisation still sees each small batch alone.",
            paper="https://arxiv.org/abs/1706.02677",
        ),
    ] = 1
    early_stopping: Annotated[
        int,
        Slider(
            0,
            50,
            group="Length",
            help="Ends the run after so many epochs in which the validation split got no better; 0 trains to the end.",
            paper="https://doi.org/10.1007/3-540-49430-8_3",
        ),
    ] = 0
    optimizer: Annotated[
        str,
        Choice(
            OPTIMIZERS,
            group="Optimiser",
            help="SGD takes the plain gradient, with a memory of its last steps where there is momentum. RMSprop and "
            "Adam scale each weight's step by the size of its own recent gradients; AdamW is Adam whose weight decay "
            "is kept apart from that scaling.",
            paper="https://arxiv.org/abs/1711.05101",
        ),
    ] = "adamw"
    lr: Annotated[
        float,
        LogSlider(
            1e-5,
            10.0,
            label="Learning rate",
            group="Optimiser",
            help="The length of a step. Too small learns nothing, too large blows up: try it.",
            paper="https://arxiv.org/abs/1206.5533",
        ),
    ] = 3e-3
    momentum: Annotated[
        float,
        Slider(
            0.0,
            0.99,
            step=0.01,
            group="Optimiser",
            when=("optimizer", STEERED),
            help="How much of the last step is carried on; 0 is plain gradient descent.",
            paper="https://proceedings.mlr.press/v28/sutskever13.html",
        ),
    ] = 0.9
    nesterov: Annotated[
        bool,
        Toggle(
            group="Optimiser",
            when=("optimizer", ("sgd",)),
            help="Looks at the gradient where the momentum is about to carry it, not where it stands.",
            paper="https://proceedings.mlr.press/v28/sutskever13.html",
        ),
    ] = False
    weight_decay: Annotated[
        float,
        LogSlider(
            1e-5,
            1.0,
            zero=True,
            group="Optimiser",
            help="Pulls every weight towards zero at each step, so that only useful ones stay large.",
            paper="https://arxiv.org/abs/1711.05101",
        ),
    ] = 0.01
    schedule: Annotated[
        str,
        Choice(
            tuple(SCHEDULES),
            group="Schedule",
            help="How the learning rate changes over the run; the curve below shows it. Cosine lets it glide to zero, "
            "so that the last steps only polish.",
            paper="https://arxiv.org/abs/1608.03983",
        ),
    ] = "cosine"
    warmup: Annotated[
        float,
        Slider(
            0.0,
            0.5,
            step=0.01,
            label="Warm-up",
            group="Schedule",
            help="The share of the run in which the learning rate climbs from zero; of one-cycle, to its peak.",
            paper="https://arxiv.org/abs/1706.02677",
        ),
    ] = 0.1
    cycles: Annotated[
        int,
        Slider(
            1,
            10,
            group="Schedule",
            when=("schedule", ("step", "restarts", "cyclic")),
            help="Into how many parts the run is cut: stages of a step schedule, or times that the rate goes round.",
        ),
    ] = 3
    decay: Annotated[
        float,
        LogSlider(
            1e-4,
            1.0,
            group="Schedule",
            when=("schedule", ("step", "exponential", "plateau")),
            help="What the rate is multiplied by at each drop; of an exponential schedule, over the whole run.",
        ),
    ] = 0.1
    patience: Annotated[
        int,
        Slider(
            0,
            20,
            group="Schedule",
            when=("schedule", ("plateau",)),
            help="Epochs without a lower validation loss that are borne before the rate drops.",
        ),
    ] = 3
    label_smoothing: Annotated[
        float,
        Slider(
            0.0,
            0.5,
            step=0.01,
            group="Regularisation",
            help="Asks for a little less than certainty, which keeps the network from bragging.",
            paper="https://arxiv.org/abs/1512.00567",
        ),
    ] = 0.05
    clip_norm: Annotated[
        float,
        LogSlider(
            0.01,
            100.0,
            zero=True,
            label="Clip the gradient's length",
            group="Regularisation",
            help="The longest gradient that a step may follow; 0 leaves it as it is.",
            paper="https://arxiv.org/abs/1211.5063",
        ),
    ] = 1.0
    clip_value: Annotated[
        float,
        LogSlider(
            1e-3,
            10.0,
            zero=True,
            label="Clip each gradient",
            group="Regularisation",
            help="The largest slope that any single weight may report; 0 leaves them as they are. Unlike clipping the "
            "length it bends the gradient's direction.",
            paper="https://arxiv.org/abs/1211.5063",
        ),
    ] = 0.0
    ema: Annotated[
        float,
        Choice(
            (0.0, 0.9, 0.99, 0.995, 0.999, 0.9999),
            label="Averaged weights",
            group="Regularisation",
            help="Keeps a running mean of the weights, of which each step changes only what is missing to 1; the mean "
            "is what is kept, and it is tried beside the weights themselves. 0 keeps the weights themselves.",
            paper="https://arxiv.org/abs/1503.05671",
        ),
    ] = 0.0
    balanced: Annotated[
        bool,
        Toggle(
            label="Draw classes alike",
            group="Regularisation",
            help="Draws examples so that every class comes equally often, however rare it is: rare ones are repeated.",
            paper="https://arxiv.org/abs/1710.05381",
        ),
    ] = False
    flip: Annotated[
        bool,
        Toggle(
            label="Mirror",
            group="Augmentation",
            help="Shows half of the pictures mirrored. Harmless for cats, harmful for digits.",
            paper="https://proceedings.neurips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html",
        ),
    ] = False
    crop: Annotated[
        int,
        Slider(
            0,
            16,
            group="Augmentation",
            help="Pixels that a picture may be shifted by in each direction, half of its side at the most; what comes "
            "in from outside is black.",
            paper="https://arxiv.org/abs/1512.03385",
        ),
    ] = 0
    randaugment: Annotated[
        int,
        Slider(
            0,
            30,
            label="RandAugment",
            group="Augmentation",
            help="Two changes of this strength, drawn anew for every few pictures: turn, shear, brighten, posterise … "
            "0 makes none. Costs time.",
            paper="https://arxiv.org/abs/1909.13719",
        ),
    ] = 0
    erasing: Annotated[
        float,
        Slider(
            0.0,
            1.0,
            step=0.05,
            label="Random erasing",
            group="Augmentation",
            help="The share of pictures in which a rectangle is blanked out.",
            paper="https://arxiv.org/abs/1708.04896",
        ),
    ] = 0.0
    mixup: Annotated[
        float,
        Slider(
            0.0,
            2.0,
            step=0.1,
            label="MixUp",
            group="Augmentation",
            help="Blends each picture with another, and asks for both classes in the same proportion; larger values "
            "blend more evenly.",
            paper="https://arxiv.org/abs/1710.09412",
        ),
    ] = 0.0
    cutmix: Annotated[
        float,
        Slider(
            0.0,
            2.0,
            step=0.1,
            label="CutMix",
            group="Augmentation",
            help="Pastes a rectangle of another picture into each, and asks for both classes by their areas. Beside "
            "MixUp, each batch gets one of the two.",
            paper="https://arxiv.org/abs/1905.04899",
        ),
    ] = 0.0
    amp: Annotated[
        str,
        Choice(
            PRECISIONS,
            label="Mixed precision",
            group="Hardware",
            help="Half-precision arithmetic where it is safe. Auto: bf16 on a GPU that has it, fp16 on another GPU, "
            "none on a CPU.",
            paper="https://arxiv.org/abs/1710.03740",
        ),
    ] = "auto"
    compile: Annotated[
        bool,
        Toggle(
            group="Hardware",
            help="Lets torch.compile write kernels for just this network: the first steps take long, the rest less.",
            paper="https://dl.acm.org/doi/10.1145/3620665.3640366",
        ),
    ] = False
    seed: Annotated[
        int,
        Number(0, 2**31 - 1, group="Chance", help="Decides first weights and order of examples: same seed, same run."),
    ] = 0
    model_settings: tuple[tuple[str, Any], ...] = ()
    dataset_settings: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name in ("dataset", "model"):
            if not isinstance(getattr(self, name), str):
                raise ExplorerError("This training run", f"its {name} is {shown(getattr(self, name))}", "Give a name")
        for name in ("model_settings", "dataset_settings"):
            object.__setattr__(self, name, _pairs(name, getattr(self, name)))
        if isinstance(self.amp, bool):  # as runs of older versions have it
            object.__setattr__(self, "amp", "auto" if self.amp else "off")
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("dataset", "model", "model_settings", "dataset_settings"):
            values.pop(name)  # checked where the data set and the model are made
        check(TrainConfig, values, "This training run")
        if self.nesterov and self.optimizer == "sgd" and not self.momentum:
            raise ExplorerError(
                "This training run", "Nesterov's step needs a momentum to look ahead along", "Set momentum above 0"
            )

    def complete(self) -> "TrainConfig":
        """The same with every setting of model and data set written out: equal for equal runs."""
        from explorer import data, models

        whole = {"model_settings": check(models.MODELS[self.model].make, dict(self.model_settings), self.model)}
        if self.dataset in data.DATASETS:
            make = data.DATASETS[self.dataset].make
            whole["dataset_settings"] = check(make, dict(self.dataset_settings), self.dataset)
        return dataclasses.replace(self, **whole)

    @property
    def batch(self) -> int:
        """Examples that one step sees, accumulation included."""
        return self.batch_size * self.accumulate

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON values."""
        return dataclasses.asdict(self) | {
            "model_settings": dict(self.model_settings),
            "dataset_settings": dict(self.dataset_settings),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The config of `to_dict`; raises ExplorerError for a setting that there isn't."""
        if not isinstance(values, Mapping):
            raise ExplorerError("This training run", f"{shown(values)} are no settings", "Give them by their names")
        unknown = set(map(str, values)) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            wrong = f"it has no setting {shown(min(unknown))}"
            raise ExplorerError("This training run", wrong, "Leave it out, or check its spelling")
        return cls(**values)


EVALUATION_BATCH = 256  # examples that are tried together
PICTURES_ONLY = ("flip", "crop", "randaugment", "erasing", "mixup", "cutmix")


def unfit(task: str, denoises: bool) -> dict[str, str]:
    """The levers that can't act on data of a task, each with the reason, as a clause.

    task: of the data set (see `Dataset`). denoises: whether the network learns to find noise, and so names nothing.
    """
    reasons = {}
    if task != "image":
        reasons |= dict.fromkeys(PICTURES_ONLY, "it changes pictures, and these examples are none")
    if task.startswith("text"):
        reasons["balanced"] = "a text has no class of its own that could be drawn more often"
    if denoises:
        wrong = "its loss is a squared error over noise, which has no classes to mix or to smooth"
        reasons |= dict.fromkeys(("label_smoothing", "mixup", "cutmix"), wrong)
        reasons |= dict.fromkeys(("randaugment", "erasing"), "it would learn to draw such changed pictures")
    return reasons


def check_levers(config: TrainConfig, task: str, shape: tuple[int, ...], denoises: bool, examples: int) -> None:
    """Raise ExplorerError where a lever is set that can't act on this data, or a step wants more than an epoch has.

    task, shape: of the data set (see `Dataset`). examples: of its training split.
    """
    for name, reason in unfit(task, denoises).items():
        idle = name == "label_smoothing"  # its default is meant for classifiers, and others never look at it
        if getattr(config, name) and not idle:
            raise ExplorerError(f"The lever {name!r} on {config.dataset}", reason, f"Leave {name} at 0")
    if config.crop > min(shape[1:], default=0) // 2:
        raise ExplorerError(
            f"Crop {config.crop} on {config.dataset}",
            f"it would move more than half of a picture of {shape[1]}×{shape[2]} out of sight",
            f"Choose {min(shape[1:]) // 2} at the most",
        )
    if config.accumulate > 1 and config.batch > examples:
        raise ExplorerError(
            f"Accumulating {config.accumulate} batches of {config.batch_size}",
            f"a step would see {config.batch:,} examples, and there are {examples:,} to learn from",
            "Accumulate fewer batches, or make them smaller",
        )


def _pairs(where: str, settings: Any) -> tuple[tuple[str, Any], ...]:
    """A dict or pairs as sorted, hashable pairs; raises ExplorerError where they are neither."""
    try:
        pairs = {str(name): value for name, value in dict(settings).items()}
        hash(tuple(pairs.values()))
    except (TypeError, ValueError) as error:
        wrong = f"its {where} are {shown(settings)}"
        raise ExplorerError(
            "This training run", wrong, "Give names with a number, a word, true or false each"
        ) from error
    return tuple(sorted(pairs.items(), key=lambda pair: pair[0]))
