"""The reference: the same network, data, batches, recipe and validations in a bare loop, with nothing recorded.

python -m tests.benchmarks.bare '{"dataset": "digits", "epochs": 30}'   → examples per second
"""

import json
import sys
import time

import torch
from torch.nn.functional import cross_entropy

from explorer import data, models
from explorer.settings import settings
from explorer.training.config import TrainConfig
from explorer.training.record import checkpoint_steps


def tensors(split: data.Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (N, C, H, W) uint8 and classes (N,)."""
    return torch.from_numpy(split.x.copy()).permute(0, 3, 1, 2), torch.from_numpy(split.y.copy())


def throughput(config: TrainConfig) -> float:
    """Examples per second of training; the validation split is tried as often as a run does it."""
    (x, y), (vx, vy) = (tensors(data.load(config.dataset, split)) for split in ("train", "validation"))
    mean = x.float().mean((0, 2, 3), keepdim=True) / 255
    std = x.float().std((0, 2, 3), keepdim=True) / 255
    model = models.build(config.model, tuple(x.shape[1:]), int(y.max()) + 1, **dict(config.model_settings))
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    per_epoch = len(y) // config.batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * per_epoch)
    smoothing = config.label_smoothing
    total = config.epochs * per_epoch
    tried = {*checkpoint_steps(total), *range(0, total + 1, per_epoch)}
    step = 0

    def validate() -> None:
        model.eval()
        with torch.inference_mode():
            for part in torch.arange(len(vy)).split(256):
                cross_entropy(model((vx[part].float() / 255 - mean) / std), vy[part]).item()
        model.train()

    start = time.perf_counter()
    validate()
    for _ in range(config.epochs):
        for batch in torch.randperm(len(y)).split(config.batch_size)[:per_epoch]:
            loss = cross_entropy(model((x[batch].float() / 255 - mean) / std), y[batch], label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            schedule.step()
            step += 1
            if step in tried:
                validate()
    return total * config.batch_size / (time.perf_counter() - start)


if __name__ == "__main__":
    torch.set_num_threads(settings().limits.threads)
    print(throughput(TrainConfig.from_dict(json.loads(sys.argv[1]))))
