"""Attention: who looks at whom in every head, what that amounts to over all layers, and whether a head matters."""

from explorer.attention.ablate import Ablation, Sweep, ablate, importance, price, sweep
from explorer.attention.attend import attend
from explorer.attention.base import AttentionPatterns, Detail, Part, Patches
from explorer.attention.compare import Comparison, change, mask_token
from explorer.attention.flow import attention_flow, norm_weighted, rollout
from explorer.attention.predict import Continuation, Predictions, continue_, predict

__all__ = [
    "Ablation", "AttentionPatterns", "Comparison", "Continuation", "Detail", "Part", "Patches", "Predictions", "Sweep",
    "ablate", "attend", "attention_flow", "change", "continue_", "importance", "mask_token", "norm_weighted", "predict",
    "price", "rollout", "sweep",
]  # fmt: skip
