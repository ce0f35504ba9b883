"""Put people before a server of its own and print what they met: python -m tests.load"""

import argparse
import asyncio
import sys
from dataclasses import replace

import psutil

from tests.benchmarks.machine import machine
from tests.load.client import LostError
from tests.load.rows import QUICK, ROWS, Options, Row
from tests.load.server import CLASS


def main() -> int:
    """One table, Markdown, as it stands in README; 1 where anything went wrong."""
    parser = argparse.ArgumentParser("python -m tests.load", description=__doc__)
    parser.add_argument("--sessions", type=int, help=f"people at once ({Options.sessions})")
    parser.add_argument("--seconds", type=float, help=f"that they stay, once all have come ({Options.seconds:.0f})")
    parser.add_argument("--patience", type=float, help="seconds after which no answer is a lost session (60)")
    parser.add_argument("--seed", type=int, help="of whatever happens by chance")
    parser.add_argument("--quick", action="store_true", help="a little of everything")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"some of {','.join(ROWS)}")
    asked = parser.parse_args()
    if unknown := set(asked.rows.split(",")) - set(ROWS):
        parser.error(f"no such rows: {', '.join(unknown)}")
    given = {name: value for name, value in vars(asked).items() if name not in ("quick", "rows") and value is not None}
    options = replace(QUICK if asked.quick else Options(), **given)

    mode = ", ".join(f"{name}={value}" for name, value in CLASS.items())
    about = f"{mode}; seed {options.seed}; {psutil.cpu_percent(1):.0f}% busy before it began"
    print(f"{machine('torch', 'streamlit', 'websockets')}; {about}\n")
    print("| what | measured | to reach |\n|---|---|---|")
    errors: list[str] = []
    for name in asked.rows.split(","):
        try:
            rows = asyncio.run(ROWS[name](options))
        except LostError as error:
            rows = [Row(name, f"given up: {error}", errors=(str(error),))]
        for row in rows:
            print(f"| {row.what} | {row.measured} | {row.target} |", flush=True)
            errors += row.errors
    print(*(f"\n- {error}" for error in errors), file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
