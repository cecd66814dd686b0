"""What the end of an A/D update must be, from what happened in memory and in walks meanwhile; the golden translation decides what a walk finds."""

from collections import Counter
from typing import Any

from seqfault_golden.layout import Outcome
from seqfault_golden.translate import EXCEPTION, REASON, Cause, PagingMode, Refusal

from .ad_update_world import Asked, page_size
from .axi_memory import EXOKAY, SLVERR
from .memory_ports import ALL_STROBES, WORD_BYTES

__all__ = ["OK", "Ending", "compare", "expected_end"]

MAX_SWAPS = 8
OK, RETRY, FAULT = range(3)
Ending = tuple[str, dict[str, int], tuple[int, int] | None]
"""What a request must end with: the stream, fields of its item, and for an answer OK the leaf and the size of its page."""


def compare(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Names the fields that differ."""
    assert got == wanted, "; ".join(f"{name}: got {got.get(name)}, expected {wanted[name]}" for name in wanted if got.get(name) != wanted[name])


def expected_end(asked: Asked, accesses: list[tuple[str, Any]], seen: Counter[str], *, walk_first: bool) -> Ending:
    """Follows what has happened through the specification's steps; `seen` counts how it went.

    `walk_first`: what the Translator knew cannot be used: it is old, or incomplete.
    """
    log, found, ending = iter(accesses), asked.found, None
    swaps, walking = 0, walk_first
    while ending is None:
        if walking:
            found = _next(log, "walk")
            ending = _after_walk(asked, found)
        if ending is None:
            swaps += 1
            ending = _after_swap(asked, found, log, seen, last=swaps == MAX_SWAPS)
        walking = True
    rest = list(log)
    assert not rest, f"{asked}: {rest} after its end {ending}"
    seen[f"{ending[0]} {Outcome(ending[1]['reason']).name}"] += 1
    seen["swapped again"] += swaps > 1
    return ending


def _next(log: Any, kind: str) -> Any:
    step = next(log, ("nothing", None))
    assert step[0] == kind, f"{step} where a {kind} was expected"
    return step[1]


def _after_walk(asked: Asked, result: Any) -> Ending | None:
    """What the golden model said of the tables at that moment; None: A or D is to be set."""
    if result is None:
        return _refused(asked, Cause.NOT_VALID, Outcome.BAD_TABLE)
    if isinstance(result, Refusal):
        if result.cause is Cause.BUS_ERROR:
            return _refused(asked, result.cause, Outcome.BUS_ERROR)
        if asked.supervisor or asked.mode is PagingMode.SV32:  # the fault unit serves neither
            return _refused(asked, result.cause, Outcome(REASON[result.cause]))
        return "faults", {"reason": REASON[result.cause]}, None
    return None if result.update else _permitted(asked, result, result.pte)


def _after_swap(asked: Asked, found: Any, log: Any, seen: Counter[str], *, last: bool) -> Ending | None:
    """The exclusive accesses of one swap; None: it failed."""
    address, entry = found.update
    word, shift = address & -WORD_BYTES, 8 * (address % WORD_BYTES)
    mask = (1 << 8 * asked.mode.ptesize) - 1
    read = _next(log, "read")
    assert read["address"] == word, f"read at {read['address']:#x}, the entry is at {address:#x}"
    if read["response"] != EXOKAY:
        seen["bus error" if read["response"] == SLVERR else "no exclusive access"] += 1
        return _refused(asked, Cause.BUS_ERROR, Outcome.BUS_ERROR)
    if read["word"] >> shift & mask == found.pte:
        write = _next(log, "write")
        strobes = (1 << asked.mode.ptesize) - 1 << address % WORD_BYTES
        wanted = {"address": word, "lock": 1, "strobes": strobes & ALL_STROBES, "response": write["response"]}
        compare({name: write[name] for name in wanted}, wanted)
        assert write["word"] >> shift & mask == entry, f"{asked}: wrote {write['word']:#x}, expected {entry:#x} at bit {shift}"
        if write["response"] == SLVERR:
            seen["bus error of the write"] += 1
            return _refused(asked, Cause.BUS_ERROR, Outcome.BUS_ERROR)
        if write["response"] == EXOKAY:
            return _permitted(asked, found, entry)
        seen["reservation lost"] += 1
    else:
        seen["compared different"] += 1
    return ("answers", {"status": RETRY, "reason": Outcome.RACED}, None) if last else None


def _permitted(asked: Asked, found: Any, entry: int) -> Ending:
    fields = {"status": OK, "reason": Outcome.OK, "pa": found.pa, "pbmt": found.pbmt}
    return "answers", fields, (entry, page_size(asked.mode, found.level, entry))


def _refused(asked: Asked, cause: Cause, reason: Outcome) -> Ending:
    return "answers", {"status": FAULT, "reason": reason, "exception": EXCEPTION[asked.access, cause]}, None
