"""Runs a console script of this environment, which need not be in PATH: `python -m seqfault.prove_tool NAME ARGUMENT...`.

It leads a process group, which ends when the process that started it does, however that ends.
"""

import os
import signal
import sys
import threading
import time
from importlib.metadata import entry_points

__all__ = ["main"]

PAUSE = 1.0
"""Seconds between looks at whether the starter is still there."""


def _end_with(starter: int) -> None:
    while os.getppid() == starter:
        time.sleep(PAUSE)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> int:
    """Run the script in this process; returns its exit status."""
    name = sys.argv.pop(1)
    sys.argv[0] = name
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    (script,) = entry_points(group="console_scripts", name=name)
    return script.load()() or 0


if __name__ == "__main__":
    sys.exit(main())
