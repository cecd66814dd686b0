"""One fault at a time on a fresh `FaultBench`: what the directed tests of the fault unit are written with."""

import os
from collections.abc import Sequence
from random import Random
from typing import Any

from seqfault_golden.layout import Access, How, Outcome, RequestFlag, Status

from .fault_bench import FaultBench
from .fault_model import show
from .fault_unit_top import TEST_CONFIG as CONFIG
from .fault_world import RWX, PlainWorld, Vma

__all__ = [
    "CHECKED", "CLASSIC", "COMMIT", "FETCH", "FRAMES", "FULL", "ID", "LIMIT", "LOAD", "OFFSET", "PAGE", "RETRIED",
    "RWX", "SPECULATIVE", "STORE", "ZERO_FRAME", "Case", "aborted", "refused", "run_case", "software",
]  # fmt: skip

SEED = int(os.environ.get("FAULT_SEED", "1"))
MUTANT = int(os.environ.get("FAULT_MUTANT", "0"))
LIMIT = 1500
"""Cycles in which one fault must end."""
LOAD, STORE, FETCH = Access.LOAD, Access.STORE, Access.FETCH
ID, PAGE, OFFSET, ZERO_FRAME = 6, 0x1203, 0xABC, 0x777
FRAMES = [0x500, 0x501, 0x502]
COMMIT = "R13 R14-R15 R16-R17 R18"
CHECKED = "R7-R9 R10-R12"
FULL = f"R0 R1-R6 {CHECKED} {COMMIT}"
SPECULATIVE, RETRIED, CLASSIC = ((Status.OK, how, Outcome.OK) for how in (How.SPECULATIVE, How.RETRIED, How.CLASSIC))


def software(reason: Outcome) -> tuple[Status, How, Outcome]:
    """The answer of a fault that was handed over."""
    return Status.RETRY, How.SOFTWARE, reason


def refused(reason: Outcome) -> tuple[Status, How, Outcome]:
    """The answer of a fault that software does not get."""
    return Status.FAULT, How.TRANSLATED, reason


def aborted(steps: str, reason: Outcome, *, final: bool = False, refused: bool = False) -> str:
    """An attempt that ends at the last of `steps`; `final`, with a page request, or `refused`."""
    name = reason.name
    end = f" HANDOVER!{name} ANSWER!{name}" if final else f" ANSWER!{name}" if refused else ""
    return f"{steps}!{name} UNDO!{name}{end}"


class Case:
    """One fault on a fresh bench: `log` has the steps of all, `steps` those of the fault."""

    def __init__(self, dut: Any, policy: str = "spec", frames: Sequence[int] = FRAMES) -> None:
        self.world = PlainWorld(vmas=[Vma((0x1000, 0x2000), ID, 0x1000, 0x2000)])
        self.vma = self.world.vmas[0]
        self.bench = FaultBench(dut, CONFIG, self.world, Random(SEED), policy=policy, pace=0.7)
        self.commands = self.bench.commands
        self.bench.model.zero_frame = ZERO_FRAME
        self.frames = list(frames)
        self.bench.model.pool.extend(frames)
        self.bench.observe = self._observe
        self.commands.greedy = True
        self.flags = int(RequestFlag.ALLOW_RETRY | RequestFlag.TRIED)
        self.log: list[str] = []
        self.events: list[dict[str, int]] = []

    def _observe(self, event: dict[str, int], context: Any) -> None:
        self.log.append(show(event).split()[0])
        if context is not None:
            self.events.append(event)

    def seen(self, steps: str, times: int = 1) -> Any:
        """A condition for commands: these steps have been executed so many times."""
        return lambda: self.log.count(steps) >= times

    def steps(self) -> list[str]:
        """The steps of the fault so far."""
        return [show(event).split()[0] for event in self.events]

    def section(self, after: Any) -> None:
        """SEQ.BEGIN and SEQ.END."""
        self.commands.sequence_begin(ID, after=after)
        self.commands.sequence_end(ID)

    async def start(self) -> "Case":
        await self.bench.start(MUTANT)
        return self

    async def fault(
        self, access: Access, expected: str, answer: tuple[Status, How, Outcome], pa: int | None = None, *, walked: bool = False
    ) -> dict[str, int]:
        """Run one fault: its steps, its answer, and that nothing is left. `walked`: it comes with what the miss's walk has found."""
        request = {"vpn": PAGE, "offset": OFFSET, "space": 0, "access": int(access), "flags": self.flags, "port": 3, "tag": 0x155, "walked": walked}
        bench = self.bench
        bench.faults.append(request)
        await bench.run(LIMIT)
        bench.check_at_rest()
        steps = " ".join(self.steps())
        assert steps == expected, f"\n  is   {steps}\n  must {expected}"
        assert len(bench.model.answered) == 1
        given = bench.model.answered[0][1]
        assert (given["status"], given["how"], given["reason"]) == answer, f"answer {given}"
        if pa is not None:
            assert given["pa"] == pa, f"pa {given['pa']:#x}"
        mapped = [entry >> 10 for entry in self.world.entries.values() if entry >> 10 in self.frames]
        frames = sorted([*bench.model.pool, *bench.model.used, *mapped, *bench.model.lost])
        assert frames == self.frames, f"frames {frames}"
        return self.events[-1]


async def run_case(
    dut: Any, access: Access, expected: str, answer: tuple[Status, How, Outcome], *, pa: int | None = None, policy: str = "spec",
    **world: Any,
) -> None:  # fmt: skip
    """A case without commands; `world` sets fields of the world or of the VMA."""
    case = Case(dut, policy)
    for name, value in world.items():
        setattr(case.vma if hasattr(case.vma, name) else case.world, name, value)
    await (await case.start()).fault(access, expected, answer, pa)
