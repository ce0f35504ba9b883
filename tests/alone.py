"""Runs scripts where the explorer can't be found, as a person who took them away would."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

RUN_ALL = """
import json, os, runpy, sys, traceback
import torch
torch.set_num_threads(1)
folders, hidden = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(hidden))
failed = {}
for folder in folders:
    os.chdir(folder)
    try:
        runpy.run_path("script.py")
    except Exception:
        failed[folder] = traceback.format_exc()
print(json.dumps(failed))
"""


def run(folders: Iterable[Path], hidden: Sequence[str] = (), timeout: int = 110) -> None:
    """Run the script.py of each folder in one process; AssertionError with the traceback of any that fails.

    hidden: modules that can't be imported there. timeout: seconds for all.
    """
    command = [sys.executable, "-I", "-c", RUN_ALL, json.dumps([[str(folder) for folder in folders], hidden])]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout, cwd="/")
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout.splitlines()[-1])
    assert not failed, "\n".join(failed.values())
