"""Cases for workers that need no simulation; processes of a pool import them by name. And programs that run such cases, to be interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from seqfault.regress_workers import run_here

__all__ = ["answer", "die", "fail", "hold", "kill_worker", "wait_for_cases"]

LONG = "100"


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """A case that takes a while."""
    time.sleep(0.1)
    return {"seed": case["seed"], "worker": os.getpid()}


def die(case: dict[str, Any]) -> dict[str, Any]:
    """The fourth kills its process, while others are at work."""
    if case["seed"] == 3:
        time.sleep(0.5)
        kill_worker(case)
    time.sleep(3 if case["seed"] > 3 else 0)
    return {"seed": case["seed"]}


def kill_worker(case: dict[str, Any]) -> dict[str, Any]:
    """The process is killed, every time."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def fail(case: dict[str, Any]) -> dict[str, Any]:
    """A case that leaves a file in its folder, every time."""
    (Path(case["folder"]) / str(time.monotonic_ns())).touch()
    raise RuntimeError("no such thing")


def hold(case: dict[str, Any]) -> dict[str, Any]:
    """A case that starts a program and waits for it; a file in the case's folder is named by each of the two. The first ends at once."""
    if case["seed"]:
        child = subprocess.Popen(["sleep", LONG])
        for process in (os.getpid(), child.pid):
            (Path(case["folder"]) / str(process)).touch()
        child.wait()
    return {}


def wait_for_cases(folder: str, where: str) -> None:
    """Run cases that hold, until a signal comes: in the generator, or while somebody has one of its results."""
    for number, _ in run_here([{"seed": seed, "folder": folder} for seed in range(8)], 2, run=hold):
        if where == "outside" and number >= 0:
            time.sleep(float(LONG))


if __name__ == "__main__":
    wait_for_cases(*sys.argv[1:])
