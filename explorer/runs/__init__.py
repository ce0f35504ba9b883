"""What was trained: an index in MLflow, and a folder for each run."""

from explorer.runs.files import best, checkpoint, checkpoints, history
from explorer.runs.store import Run, create, delete, finish, folder, get, listing, tracking_uri, warm_up

__all__ = [
    "Run", "best", "checkpoint", "checkpoints", "create", "delete", "finish", "folder", "get", "history", "listing",
    "tracking_uri", "warm_up",
]  # fmt: skip
