"""Cases for workers that need no simulation; processes of a pool import them by name."""

import os
import signal
import time
from typing import Any

__all__ = ["answer", "die", "fail"]


def answer(case: dict[str, Any]) -> dict[str, Any]:
    """A case that takes a while."""
    time.sleep(0.1)
    return {"seed": case["seed"], "worker": os.getpid()}


def die(case: dict[str, Any]) -> dict[str, Any]:
    """The fourth kills its process."""
    if case["seed"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"seed": case["seed"]}


def fail(case: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("no such thing")
