"""What was trained: an index in MLflow, and a folder for each run."""

from explorer.runs.database import mend, tracking_uri
from explorer.runs.files import best, checkpoint, checkpoints, history
from explorer.runs.store import Run, create, delete, finish, folder, get, listing, owner, reopen, warm_up

__all__ = [
    "Run", "best", "checkpoint", "checkpoints", "create", "delete", "finish", "folder", "get", "history", "listing",
    "mend", "owner", "reopen", "tracking_uri", "warm_up",
]  # fmt: skip
