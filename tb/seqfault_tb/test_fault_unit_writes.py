"""FaultUnit: the order of its writes, and errors of each. [docs/software-contract.md, Frames; Steps and outcomes]

`fault_model.py` checks at each write that memory has what the fault saw there, and at each step that what it waits for has come.
"""

import cocotb

from seqfault_golden.layout import Outcome, RequestFlag

from .fault_case import FRAMES, LIMIT, LOAD, PAGE, SPECULATIVE, STORE, ZERO_FRAME, aborted, software
from .fault_page_case import (
    AROUND,
    CHECKS,
    CLEARED,
    EXCLUSIVE,
    FILE,
    FRAME,
    FRAME_READY,
    READ_ONLY,
    SET,
    SHARED,
    STAYS,
    WRITABLE,
    file_case,
    mapped_case,
    without_table,
)

R7 = "R0 R1-R6 R7"
COPY = f"{R7} R8-R9 FILL"
OLD = FRAME << 10 | READ_ONLY
REQUEST = {"offset": 0, "space": 0, "access": int(STORE), "flags": int(RequestFlag.ALLOW_RETRY), "port": 0}
TABLE = f"R7 R8-R9 {SET.removesuffix(' R18')} TABLE"


# --- clear, flush, set ----------------------------------------------------------------------------------------------


@cocotb.test()
async def set_waits_for_the_flush(dut) -> None:
    """The new entry is written when the TLBs are done, however long that takes; an entry that gained rights is answered then."""
    for entry, rest, after in ((OLD, f"FILL {CLEARED}", "R17"), (OLD | EXCLUSIVE, STAYS, "R18")):
        waits = []
        for sweep in (0, 1, 2, 80):
            case = mapped_case(dut, entry)
            bench = case.bench
            bench.sweep = sweep
            await case.start()
            cycles: dict[str, int] = {}
            observe = bench.observe
            bench.observe = lambda event, context, case=case, cycles=cycles, observe=observe: (
                observe(event, context), cycles.update({case.log[-1]: case.bench.model.cycle})
            )  # fmt: skip
            await case.fault(STORE, f"{R7} R8-R9 {rest}", SPECULATIVE)
            waits.append(cycles[after] - cycles["FLUSH"])
        assert waits[0] < 6
        assert waits[-1] > 8


@cocotb.test()
async def flush_waits_for_a_command(dut) -> None:
    """The TLBs are busy with an IOTINVAL.VMA when the entry is cleared."""
    for entry, before, rest in ((OLD, f"FILL {CHECKS} CLEAR", "R17 R18"), (OLD | EXCLUSIVE, f"{CHECKS} R16-R17", "R18")):
        waited = []
        for _ in range(4):
            case = await mapped_case(dut, entry).start()
            case.bench.sweep, case.world.held = 120, {"write"}
            case.commands.invalidate(space=1, vpn=None, after=case.seen(before.split()[-1]))
            case.commands.software(case.world.held.clear)
            await case.fault(STORE, f"{R7} R8-R9 {before} FLUSH {rest}", SPECULATIVE)
            waited.append(case.bench.waited)
        assert any(waited), "no context stepped while the TLBs were busy"


@cocotb.test()
async def released_ring_is_full(dut) -> None:
    """Before the clear that is the end of the attempt; after it the old frame waits for its place."""
    case = await mapped_case(dut, OLD).start()
    case.bench.released_pace = 0.0
    await case.fault(STORE, aborted(f"{COPY} {CHECKS} CLEAR", Outcome.RELEASED_FULL, final=True), software(Outcome.RELEASED_FULL))
    assert case.world.entry(case.world.address(0, PAGE)) == OLD
    assert list(case.bench.model.used) == FRAMES[:1]
    case = await mapped_case(dut, OLD).start()
    case.commands.software(lambda: setattr(case.bench, "released_pace", 0.0), after=case.seen("CLEAR"))
    case.commands.software(lambda: setattr(case.bench, "released_pace", 1.0), delay=100)
    await case.fault(STORE, f"{COPY} {CLEARED}", SPECULATIVE)
    assert case.bench.model.released == [OLD]
    assert case.bench.waited


# --- bus errors -----------------------------------------------------------------------------------------------------


@cocotb.test()
async def writes_fail(dut) -> None:
    """Each write: the lock is dropped, and a frame that some entry may hold is not used again."""
    for case, failing, steps, lost in (
        (mapped_case(dut, OLD), "R14-R15", f"{COPY} {CHECKS} CLEAR FLUSH", 0),
        (mapped_case(dut, ZERO_FRAME << 10 | READ_ONLY), "R14-R15", f"{R7} R8-R9 {CHECKS} CLEAR FLUSH", 0),
        (mapped_case(dut, OLD), "FLUSH", f"{COPY} {CLEARED}", 1),
        (mapped_case(dut, OLD | EXCLUSIVE), "R14-R15", f"{R7} R8-R9 {CHECKS} R16-R17 FLUSH", 0),
        (file_case(dut), "R14-R15", f"{FILE} FILL {SET}", 1),
        (file_case(dut, SHARED, FRAME_READY | WRITABLE), "R14-R15", f"{FILE} {SET}", 0),
        (without_table(dut), "R14-R15", f"R0 R1-R6 {TABLE}", 1),
    ):
        await case.start()
        case.world.held = {"write"} if failing == "FLUSH" else set()
        if failing == "FLUSH":
            case.commands.software(case.world.held.clear, after=case.seen("CLEAR"))
        case.commands.software(lambda case=case: setattr(case.world, "write_error", True), after=case.seen(failing))
        await case.fault(STORE, aborted(steps, Outcome.BUS_ERROR, final=True), software(Outcome.BUS_ERROR))
        assert len(case.bench.model.lost) == lost
        assert len(case.bench.model.released) == (failing == "FLUSH")


@cocotb.test()
async def fault_around_fails(dut) -> None:
    """That is not the fault's error; an error of its own write is, whichever answer comes last."""
    for held in ("write", "around"):
        for write_error, around_error in ((False, True), (True, False), (True, True)):
            case = await file_case(dut).start()
            case.world.around_error, case.world.write_error, case.world.held = around_error, write_error, {held}
            other = "around" if held == "write" else "write"
            arrived = lambda case=case, other=other: any(other in c.inbox for c, _ in case.bench.model.running.values())  # noqa: E731
            case.commands.software(case.world.held.clear, after=arrived, delay=40)
            around = AROUND.replace("AROUND", "AROUND!BUS_ERROR") if around_error else AROUND
            expected = aborted(f"{FILE} {around}", Outcome.BUS_ERROR, final=True) if write_error else f"{FILE} {around}"
            await case.fault(LOAD, expected, software(Outcome.BUS_ERROR) if write_error else SPECULATIVE)


@cocotb.test()
async def copied_frames_are_not_zero(dut) -> None:
    """A frame that came back after a copy, whole or not, is only copied into again; it serves when the pool is empty, too."""
    case = await mapped_case(dut, OLD).start()
    bench, world = case.bench, case.world
    world.move_error = True
    await case.fault(STORE, aborted(COPY, Outcome.BUS_ERROR, final=True), software(Outcome.BUS_ERROR))
    world.move_error = False
    assert list(bench.model.used) == FRAMES[:1]
    bench.faults.append(REQUEST | {"vpn": PAGE + 1, "tag": 1})  # anonymous memory: a frame of zeros
    await bench.run(LIMIT)
    bench.hide_pool = True
    bench.faults.append(REQUEST | {"vpn": PAGE, "tag": 2})
    await bench.run(LIMIT)
    bench.check_at_rest()
    assert [world.entry(world.address(0, page)) >> 10 for page in (PAGE, PAGE + 1)] == FRAMES[:2]
