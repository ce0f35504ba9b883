"""python -m explorer.zoo list | build <name> | build all"""

import argparse
import time

from explorer.zoo import cards
from explorer.zoo.recipes import RECIPES


def main() -> None:
    """List the shipped models, or make one again from scratch."""
    parser = argparse.ArgumentParser(prog="python -m explorer.zoo", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the shipped models with their measured metrics")
    building = commands.add_parser("build", help="train one from scratch and put it in its place")
    building.add_argument("name", choices=[*RECIPES, "all"])
    arguments = parser.parse_args()
    if arguments.command == "list":
        for card in cards():
            metrics = ", ".join(f"{name} {value:.3f}" for name, value in card.metrics.items())
            print(f"{card.ref:24} {card.parameters:>9,} parameters  {metrics}")
        return
    for name in RECIPES if arguments.name == "all" else [arguments.name]:
        _build(name)


def _build(name: str) -> None:
    from explorer.zoo.build import build

    start = time.perf_counter()

    def tell(step) -> None:
        if isinstance(step, dict):  # of a model in several parts
            print(f"{name}: {time.perf_counter() - start:5.0f} s, {step}", flush=True)
        elif step.validation_loss is not None:
            right = "" if step.validation_accuracy is None else f", {step.validation_accuracy:.1%} right"
            told = f"validation loss {step.validation_loss:.4f}{right}"
            print(f"{name}: step {step.step:5}, {step.seconds:5.0f} s, {told}", flush=True)

    card = build(name, tell)
    print(f"{name}: {card.parameters:,} parameters, {card.metrics}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
