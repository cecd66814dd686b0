"""Puts a machine and its testbench kernel under a program's conditions."""

from random import Random

from seqfault_golden import Checker
from seqfault_rtl.config import PRESETS, EngineConfig

from ..checked import Checked, checked_kernel
from ..kernel import Kernel, kernel
from ..kernel.constants import Mode
from ..kernel.memory_layout import FreeRing, Pool, ReleasedRing
from ..planted import Plant
from .program import Conditions

__all__ = ["config_of", "prepare"]

SMALL_LOG2, SMALLEST_LOG2 = 2, 1
"""Three frames, three removed entries, three commands; one page request."""
LOOKS, LOOK_NS = 100, 500
"""Software sees to a small ring at every hundredth look, and looks every 500 ns at the least."""
GARBAGE = 0x5A5A_5A5A_0000_0001
"""As an entry it is valid, and a pointer."""
PAGE_WORDS = 512


class _SlowFreeRing(FreeRing):
    """Software comes late; but not to the first filling."""

    _looks = -1

    def fill(self, head: int, frames: Pool) -> None:
        self._looks += 1
        if self._looks % LOOKS == 0:
            super().fill(head, frames)


class _SlowReleasedRing(ReleasedRing):
    """Likewise."""

    _looks = 0

    def drain(self, tail: int) -> list[tuple[int, int, int]]:
        self._looks += 1
        return [] if self._looks % LOOKS else super().drain(tail)


def config_of(conditions: Conditions) -> EngineConfig:
    """The engine's parameters. Raises `ValueError` for an unknown preset or setting, or a mode that it has not."""
    if conditions.preset not in PRESETS:
        raise ValueError(f"unknown preset {conditions.preset!r}; known: {', '.join(PRESETS)}")
    config = PRESETS[conditions.preset].with_settings(conditions.settings)
    if conditions.mode.upper() not in config.modes:
        raise ValueError(f"preset {conditions.preset} with these settings has no {conditions.mode}")
    if conditions.plant and conditions.plant not in Plant.__members__:
        raise ValueError(f"unknown planted bug {conditions.plant!r}; known: {', '.join(Plant.__members__)}")
    if conditions.adue and not config.svadu:
        raise ValueError(f"preset {conditions.preset} with these settings has no svadu")
    return config


def prepare(machine: Checked, conditions: Conditions, seed: int) -> tuple[Kernel, Checker, dict[str, int]]:
    """A kernel for this machine, the checker that watches both, and its count of aborted attempts by reason; nothing has run yet.

    What the machine itself does (latency, pressure, errors, a planted bug) is its own affair.
    """
    config = config_of(conditions)
    rng = Random(seed)
    if conditions.small_rings:
        _shrink_rings()
    errors = conditions.error_rate > 0
    made, checker, aborts = checked_kernel(machine, config, conditions.policy, unzeroed=conditions.unzeroed, bus_errors=errors)
    made.adue, made.mode, made.bus_errors = conditions.adue, Mode[conditions.mode.upper()], errors
    if conditions.small_rings:
        made.scheduler.spawn(_look_again_and_again(made), "a look at the rings")
    if conditions.unzeroed:
        _leave_garbage(made, rng)
    return made, checker, aborts


def _shrink_rings() -> None:
    """Rings that are empty, or full, again and again. Before the kernel is made."""
    kernel.FreeRing = lambda machine, base: _SlowFreeRing(machine, base, SMALL_LOG2)  # type: ignore[misc, assignment]
    kernel.ReleasedRing = lambda machine, base: _SlowReleasedRing(machine, base, SMALL_LOG2)  # type: ignore[misc, assignment]
    kernel.PAGE_REQUEST_LOG2 = SMALLEST_LOG2
    kernel.COMMAND_LOG2 = SMALL_LOG2


async def _look_again_and_again(made: Kernel) -> None:
    while True:
        await made.scheduler.sleep(LOOK_NS)


def _leave_garbage(made: Kernel, rng: Random) -> None:
    """Frames are not zero when they are given to the engine."""
    frames, write = made.memory.frames, made.machine.write64
    take = frames.take

    def dirty() -> int:
        frame = take()
        for word in rng.sample(range(PAGE_WORDS), 4):
            write(frame << 12 | word << 3, GARBAGE)
        return frame

    frames.take = dirty  # type: ignore[method-assign]
