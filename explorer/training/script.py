"""The code panel: one training run as a script of its own, in plain PyTorch, that takes the very same steps."""

import dataclasses
import io

import numpy as np

from explorer import data, models
from explorer.params import acts, params
from explorer.source import TORCHVISION, UNHARMED, Parts, imports, keywords
from explorer.training import augment, objectives
from explorer.training.batches import statistics
from explorer.training.config import PICTURES_ONLY, TrainConfig
from explorer.training.learner import check, draws
from explorer.training.objectives import denoises
from explorer.training.schedules import OWN_RISE, SCHEDULES

OPTIMISERS = {
    "adamw": "torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay)",
    "adam": "torch.optim.Adam(model.parameters(), config.lr, weight_decay=config.weight_decay)",
    "rmsprop": "torch.optim.RMSprop(\n    model.parameters(), config.lr, momentum=config.momentum, "
    "weight_decay=config.weight_decay\n)",
    "sgd": "torch.optim.SGD(\n    model.parameters(), config.lr, momentum=config.momentum, nesterov=config.nesterov,\n"
    "    weight_decay=config.weight_decay,\n)",
}
ALWAYS = ("epochs", "batch_size", "lr", "weight_decay", "seed")
BEHIND = {"from torchvision.transforms import v2"}  # what can be imported once torchvision can
EAGER = 'def implementation():\n    return "eager"  # attention that can be watched is computed step by step as well\n'
ONE = ("accumulate", 1)
HALVES = {"bf16": "bfloat16", "fp16": "float16"}


def script(config: TrainConfig) -> str:
    """A Python script that trains exactly this configuration from `data.npz` (see `data_file`), printing every loss.

    It needs torch, NumPy and what the network is made of, and nothing of the explorer. On the same device it takes the
    same steps to rounding. Left out is what does not change the run: its records and its measurements.
    Raises ExplorerError where the configuration can't be trained.
    """
    train = data.load(config.dataset, "train", **dict(config.dataset_settings))
    check(config, train)
    net = models.outline(config.model, train.shape, len(train.labels), **dict(config.model_settings))
    about, parts = _Recipe(config, draws(net)), Parts({"implementation": EAGER})
    blocks = [*about.data(), *about.network(parts), *about.loop(parts)]
    needed = {"import torch", "import numpy as np", "from types import SimpleNamespace", *about.imports, *parts.imports}
    needed -= {"from __future__ import annotations"}
    text = "\n".join([*parts.sources, *blocks])
    library = "from transformers" in text or "from diffusers" in text
    return "\n".join(
        [
            f'"""Trains a {config.model} on data.npz: the data {config.dataset} with its validation split."""',
            "",
            "from __future__ import annotations",
            "",
            *(("import sys", UNHARMED) if library else ()),
            *imports(needed - BEHIND),
            *((TORCHVISION, *sorted(needed & BEHIND)) if "from torchvision" in text or needed & BEHIND else ()),
            "",
            *about.settings(),
            *(line for source in parts.sources for line in ("", source)),
            *blocks,
            "",
        ]
    )


def data_file(config: TrainConfig) -> bytes:
    """What a script wants beside it as `data.npz`: x, y, validation_x and validation_y, as the explorer has them."""
    train, validation = (
        data.load(config.dataset, split, **dict(config.dataset_settings)) for split in ("train", "validation")
    )
    file = io.BytesIO()
    np.savez_compressed(file, x=train.x, y=train.y, validation_x=validation.x, validation_y=validation.y)
    return file.getvalue()


class _Recipe:
    """The lines of a script, for one configuration: only what acts in it is there."""

    def __init__(self, config: TrainConfig, draws: bool) -> None:
        self.config = config
        self.train = data.load(config.dataset, "train", **dict(config.dataset_settings))
        self.image = self.train.task == "image"
        self.named = not denoises(config.model)
        self.objective = models.MODELS[config.model].facts.get("objective", "classes")
        self.changes = any(getattr(config, name) for name in PICTURES_ONLY)
        self.draws = draws or self.changes
        self.mixes = bool(config.mixup or config.cutmix)
        self.seen = "config.batch_size" + (" * config.accumulate" if config.accumulate > 1 else "")  # by a step
        self.weighs = self.named and self.objective != "classes" and config.accumulate > 1  # batches by their tokens
        self.half = HALVES.get(config.amp)
        self.scales = config.amp in ("auto", "fp16")  # the loss, which only float16 needs
        self.imports: set[str] = {"from torch.nn import functional as F"}

    def settings(self) -> list[str]:
        """The levers that are set, by the names that they have in the explorer."""
        values = {name: getattr(self.config, name) for name in params(TrainConfig)}
        found = {}
        for name, param in params(TrainConfig).items():
            idle = (
                not values[name] or name in ("optimizer", "schedule", "amp", "compile") or (name, values[name]) == ONE
            )
            if name in ALWAYS or (acts(param, values) and not idle):
                found[name] = values[name]
        if self.config.optimizer == "sgd":
            found |= {"momentum": self.config.momentum, "nesterov": self.config.nesterov}
        elif self.config.optimizer == "rmsprop":
            found["momentum"] = self.config.momentum
        found["warmup"] = self.config.warmup
        if not self.named or self.train.task.startswith("text"):
            found.pop("balanced", None)
        lines = [f"    {name}={value!r}," for name, value in found.items()]
        return ["config = SimpleNamespace(", *lines, ")"]

    def data(self) -> list[str]:
        mean, std = statistics(self.config.model, self.train)
        lines = [
            "# 1. The data: every batch is cut out of these",
            'device = torch.device("cuda" if torch.cuda.is_available() else "cpu")',
            'file = np.load("data.npz")',
            "x, y, validation_x, validation_y = (torch.from_numpy(file[name]).to(device) for name in file.files)",
        ]
        if self.image:
            lines += [
                "x, validation_x = (part.permute(0, 3, 1, 2) for part in (x, validation_x))  # (N, C, H, W) uint8",
                f"mean = torch.tensor({mean}, device=device).view(-1, 1, 1)",
                f"std = torch.tensor({std}, device=device).view(-1, 1, 1)",
            ]
        return lines

    def network(self, parts: Parts) -> list[str]:
        config, make = self.config, models.MODELS[self.config.model].make
        parts.add(make)
        parts.add(models.base.initialise)
        called = f"{self.train.shape}, {len(self.train.labels)}{keywords(dict(config.model_settings))}"
        lines = [
            "",
            "# 2. The network, its first weights drawn from the seed, and the optimiser",
            'with torch.device("meta"):',
            f"    model = {make.__name__}({called})",
            'model.to_empty(device="cpu")',
            "initialise(model, torch.Generator().manual_seed(config.seed))",
            "model.to(device, memory_format=torch.channels_last)",
            f"optimizer = {OPTIMISERS[config.optimizer]}",
        ]
        if config.compile:
            lines.append("forward = torch.compile(model)")
        if config.ema:
            self.imports.add("from torch.optim.swa_utils import AveragedModel")
            lines += [
                "",
                "",
                "def update(means, weights, seen):  # a running mean that forgets fast at first",
                "    keep = min(config.ema, (1 + float(seen)) / (10 + float(seen)))",
                "    for mean, weight in zip(means, weights):",
                "        mean.lerp_(weight, 1 - keep) if mean.is_floating_point() else mean.copy_(weight)",
                "",
                "",
                "average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)",
            ]
        if config.amp == "auto":
            lines += [
                'has_bf16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)',
                "half = torch.bfloat16 if has_bf16 else torch.float16",
                "scaler = torch.amp.GradScaler(device.type, enabled=half is torch.float16)",
            ]
        elif self.scales:
            lines.append("scaler = torch.amp.GradScaler(device.type)")
        if config.schedule == "plateau":
            lines += [
                "share = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)",
                "plateau = torch.optim.lr_scheduler.ReduceLROnPlateau("
                f"share, factor={min(config.decay, 0.999)}, patience={config.patience})",
            ]
        return lines

    def loop(self, parts: Parts) -> list[str]:
        return [
            *self._rate(parts),
            *self._asking(parts),
            *self._changing(parts),
            *self._validation(),
            *self._steps(),
        ]

    def _rate(self, parts: Parts) -> list[str]:
        config = self.config
        parts.add(SCHEDULES[config.schedule])
        name = SCHEDULES[config.schedule].__name__
        head = [
            "",
            "",
            "# 3. What each step needs",
            f"steps_per_epoch = max(1, len(y) // {f'({self.seen})' if '*' in self.seen else self.seen})",
            "total = config.epochs * steps_per_epoch",
            "",
            "",
            "def rate(step):  # the share of the learning rate at a step",
        ]
        if config.schedule in OWN_RISE:
            return [*head, f"    return {name}(step, max(total, 2), config)"]
        return [
            *head,
            "    warm = round(config.warmup * total)",
            "    if step < warm:",
            "        return (step + 1) / (warm + 1)",
            f"    return {name}(step - warm, max(1, total - warm), config)",
        ]

    def _asking(self, parts: Parts) -> list[str]:
        """What the network is given and asked, where that is not just the class."""
        if self.objective == "classes":
            return []
        if self.objective == "denoise":
            parts.add(objectives.Denoising)
            made = "Denoising(model.plan, model.config.num_class_embeds - 1, {})"
            return [
                "",
                "",
                f"ask, ask_to_try = {made.format(0)}, {made.format('len(validation_y)')}",
            ]
        function = objectives.OBJECTIVES[self.objective]
        parts.add(function)
        return ["", "", f"ask = ask_to_try = {function.__name__}"]

    def _changing(self, parts: Parts) -> list[str]:
        """Normalisation, and augmentation where there is any."""
        config, lines = self.config, []
        if self.image:
            lines = [
                "",
                "",
                "def normalise(pixels):",
                "    return (pixels.float() / 255 - mean) / std",
            ]
        if not self.changes:
            return lines
        lines += ["", "", "def changed(x, y, chance):  # augmentation: (N, C, H, W) uint8 → normalised, and labels"]
        if config.flip:
            parts.add(augment.mirrored)
            lines.append("    x = mirrored(x, torch.rand(len(x), generator=chance) < 0.5)")
        if config.crop:
            parts.add(augment.shifted)
            lines += [
                "    by = torch.randint(-config.crop, config.crop + 1, (len(x), 2), generator=chance)",
                "    x = shifted(x, by)",
            ]
        if config.randaugment or self.mixes:
            self.imports.add("from torchvision.transforms import v2")
        if config.randaugment:
            chunk = augment.CHUNK
            lines.append(
                f"    x = torch.cat([v2.RandAugment(2, config.randaugment)(part) for part in x.split({chunk})])"
            )
        lines.append("    x = normalise(x)")
        if config.erasing:
            parts.add(augment.erased)
            lines.append("    x = erased(x, config.erasing, chance)")
        if self.mixes:
            classes = len(self.train.labels)
            kinds = [
                f"v2.{kind}(alpha=config.{name}, num_classes={classes})"
                for name, kind in (("mixup", "MixUp"), ("cutmix", "CutMix"))
                if getattr(config, name)
            ]
            lines += [
                f"    mixes = [{', '.join(kinds)}]",
                "    return mixes[int(torch.randint(len(mixes), (), generator=chance))](x, y)",
            ]
        else:
            lines.append("    return x, y")
        return lines

    def _validation(self) -> list[str]:
        """How the validation split is tried."""
        given = "normalise(validation_x[part])" if self.image else "validation_x[part]"
        lines = [
            "",
            "",
            "@torch.inference_mode()",
            "def tried(net):  # mean loss and, of what names something, the share of right answers",
            "    net.eval()",
            "    loss, right, count, chance = 0.0, 0, 0, torch.Generator().manual_seed(0)",
            "    for part in torch.arange(len(validation_y)).split(256):",
        ]
        if self.objective == "classes":
            lines += [
                f"        answer, wanted = net({given}), validation_y[part]",
                '        loss += F.cross_entropy(answer.float(), wanted, reduction="sum").item()',
                "        right, count = right + int((answer.argmax(1) == wanted).sum()), count + len(wanted)",
            ]
        elif self.named:
            lines += [
                f"        inputs, wanted = ask_to_try({given}, validation_y[part], chance)",
                "        answer, wanted = net(*inputs).flatten(0, -2), wanted.flatten()",
                '        loss += F.cross_entropy(answer.float(), wanted, ignore_index=-100, reduction="sum").item()',
                "        right += int((answer.argmax(1) == wanted).sum())",
                "        count += int(wanted.ne(-100).sum())",
            ]
        else:
            lines += [
                f"        inputs, wanted = ask_to_try({given}, validation_y[part], chance)",
                "        answer = net(*inputs)",
                "        answer = answer if isinstance(answer, torch.Tensor) else answer.sample",
                "        loss += (answer.float() - wanted).square().flatten(1).mean(1).sum().item()",
                "        count += len(wanted)",
            ]
        return [*lines, "    net.train()", "    return loss / count, right / count"]

    def _steps(self) -> list[str]:
        """The loop itself."""
        config = self.config
        lines = [
            "",
            "",
            "# 4. Training",
            "order_chance, chance = (torch.Generator().manual_seed(config.seed) for _ in range(2))",
            "step = 0",
        ]
        if config.balanced:
            lines += [
                "weight = 1 / torch.bincount(y.cpu()).clamp(1)[y.cpu()].double()",
                "sampler = torch.utils.data.WeightedRandomSampler(",
                f"    weight, max(steps_per_epoch * {self.seen}, len(y)), generator=order_chance",
                ")",
            ]
        if config.early_stopping:
            lines.append('best, worse = (-1.0, -float("inf")), 0')
        order = "torch.tensor(list(sampler))" if config.balanced else "torch.randperm(len(y), generator=order_chance)"
        lines += [
            "for epoch in range(config.epochs):",
            f"    order = {order}[: steps_per_epoch * {self.seen}]",
            "    model.train()",
            f"    for batch in order.split({self.seen}):",
        ]
        return [*lines, *(f"        {line}" for line in self._step()), *(f"    {line}" for line in self._epoch())]

    def _step(self) -> list[str]:
        config, lines = self.config, []
        if self.draws:
            lines += [
                "seed = (config.seed * 2_654_435_761 + step) % 2**32",
                "torch.manual_seed(seed)  # dropout and torchvision draw from this one",
                "drawn = torch.Generator().manual_seed(seed)",
            ]
        lines.append("optimizer.zero_grad()")
        inner = self._gradient()
        if self.weighs:
            lines += [
                "asked = [ask(x[part], y[part], chance) for part in batch.split(config.batch_size)]",
                "count = sum(wanted.ne(-100).sum() for _, wanted in asked)",
                "mean_loss = 0.0",
                "for inputs, wanted in asked:",
                "    share = wanted.ne(-100).sum() / count  # of the tokens of the step",
                *(f"    {one}" for one in inner),
                "    mean_loss += loss.item() * share.item()",
            ]
        elif config.accumulate > 1:
            lines += [
                "mean_loss = 0.0",
                "for batch in batch.split(config.batch_size):",
                *(f"    {one}" for one in inner),
                "    mean_loss += loss.item() / config.accumulate",
            ]
        else:
            lines += inner
        if self.scales:
            lines.append("scaler.unscale_(optimizer)")
        if config.clip_value:
            lines.append("torch.nn.utils.clip_grad_value_(model.parameters(), config.clip_value)")
        if config.clip_norm:
            lines.append("torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)")
        dropped = ' * share.param_groups[0]["lr"]' if config.schedule == "plateau" else ""
        lines += ["for group in optimizer.param_groups:", f'    group["lr"] = config.lr * rate(step){dropped}']
        lines += ["scaler.step(optimizer)", "scaler.update()"] if self.scales else ["optimizer.step()"]
        if config.ema:
            lines.append("average.update_parameters(model)")
        told = "mean_loss" if config.accumulate > 1 else "loss.item()"
        return [*lines, "step += 1", f'print(f"step {{step}}: loss {{{told}:.6f}}")']

    def _gradient(self) -> list[str]:
        """Of one batch."""
        config, call = self.config, "forward" if self.config.compile else "model"
        given, wanted = "normalise(x[batch])" if self.image else "x[batch]", "y[batch]"
        smoothing = ", label_smoothing=config.label_smoothing" if config.label_smoothing else ""
        lines = []
        if self.changes:
            lines.append("inputs, wanted = changed(x[batch], y[batch], drawn)")
            given, wanted, answer = "inputs", "wanted", f"{call}(inputs)"
        elif self.objective == "classes":
            lines.append("wanted = y[batch]")
            answer = f"{call}({given})"
        if self.objective != "classes":
            if not self.weighs:
                lines.append(f"inputs, wanted = ask({given}, {wanted}, chance)")
            answer = f"{call}(*inputs)"
        if self.objective == "classes":
            body = [f"loss = F.cross_entropy({answer}, wanted{smoothing})"]
        elif self.named:
            body = [
                f"answer = {answer}.flatten(0, -2)",
                f"loss = F.cross_entropy(answer, wanted.flatten(), ignore_index=-100{smoothing})",
            ]
        else:
            body = [
                f"answer = {answer}",
                "answer = answer if isinstance(answer, torch.Tensor) else answer.sample",
                "loss = F.mse_loss(answer.float(), wanted)",
            ]
        if self.half:
            body = [f"with torch.autocast(device.type, torch.{self.half}):", *(f"    {line}" for line in body)]
        elif config.amp == "auto":
            half = 'with torch.autocast(device.type, half, enabled=device.type == "cuda"):'
            body = [half, *(f"    {line}" for line in body)]
        share = " * share" if self.weighs else " / config.accumulate" if config.accumulate > 1 else ""
        scaled = f"scaler.scale(loss{share})" if self.scales else f"(loss{share})" if share else "loss"
        return [*lines, *body, f"{scaled}.backward()"]

    def _epoch(self) -> list[str]:
        """After an epoch."""
        config = self.config
        lines = [
            f"loss, accuracy = tried({'average.module' if config.ema else 'model'})",
            'print(f"epoch {epoch + 1}: validation loss {loss:.4f}, accuracy {accuracy:.1%}")'
            if self.named
            else 'print(f"epoch {epoch + 1}: validation loss {loss:.4f}")',
        ]
        if config.ema:
            lines.append("model.train()")
        if config.schedule == "plateau":
            lines.append("plateau.step(loss)")
        if config.early_stopping:
            lines += [
                "worse = 0 if (accuracy, -loss) > best else worse + 1",
                "best = max(best, (accuracy, -loss))",
                "if worse == config.early_stopping:",
                "    break",
            ]
        return lines


def python(config: TrainConfig) -> str:
    """The same run through the explorer, in a few lines."""
    given = [
        f"    {field.name}={value!r},"
        for field in dataclasses.fields(TrainConfig)
        if (value := getattr(config, field.name)) != field.default
    ]
    body = "\n".join(given)
    arguments = f"\n{body}\n" if given else ""
    return (
        "from explorer import training, zoo\n\n"
        f"run = training.fit(training.TrainConfig({arguments}), on_step=print)\n"
        "model = zoo.load(run.ref)\n"
        "print(run.metrics, model.card.parameters)\n"
    )
