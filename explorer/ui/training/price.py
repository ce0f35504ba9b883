"""What a run costs, before it starts: one price for every view that names one."""

from explorer.errors import ExplorerError
from explorer.settings import settings
from explorer.training import racing
from explorer.training.config import TrainConfig
from explorer.training.cost import Cost, cost
from explorer.training.launch import check_limits
from explorer.ui.kept import kept

BYTES = 16  # of each parameter: its weight, its gradient, and Adam's two means
SHARE = 1 / 4  # of what models may take here, which a network that is only tried may have


@kept("Timing a few steps …", known={TrainConfig: repr})
def price(config: TrainConfig) -> Cost:
    """What a run of this config takes on this machine.

    Raises ExplorerError where the run can't start, or its network is too large to be built beside the pages.
    """
    check_limits(config)
    count = racing.count(config)
    if BYTES * count > SHARE * settings().limits.store:
        raise ExplorerError(
            "The price of this run",
            f"a network of {count:,} parameters is too large to be tried beside the pages",
            "Start it: the worker has more room",
        )
    return cost(config, settings().device)
