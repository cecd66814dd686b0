"""The protocol's timeline for a person (one line per event) and for a program (one record per event)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from seqfault_golden.layout import COMMAND_UNIT, UPDATE_AGENT
from seqfault_rtl.messages import AnswerStatus, Step
from seqfault_rtl.paging import Access, PagingMode

from .waves import WaveEvent
from .waves_faults import BEGIN_ATTEMPT

__all__ = ["HEADING", "agent_name", "begin_fields", "event_detail", "event_line", "event_record", "event_sequence", "select_events"]

HEADING = f"{'cycle':>10}  {'agent':<8} {'fault':>6} {'steps':<15} {'address':<18} {'vma':>5} {'sequence':>10}  {'outcome':<11} detail"
PTE_BITS = "VRWXUGAD"
"""PTE flag names, bit 0 first. [Priv 12.4.1]"""
PTE_PPN = (10, 44)
"""Low bit and width of a PTE's PPN. [Priv 12.4.1]"""
SATP_MODE, SATP_PPN = (60, 4), (0, 44)
VMA_FLAGS = ("READ", "WRITE", "EXEC", "SHARED", "ANON", "GROWSDOWN", "UFFD", "LOCKED", "HUGE")
FAULT_FLAGS = ("ALLOW_RETRY", "TRIED", "NOWAIT", "ATOMIC")
BEGIN_ACCESS, BEGIN_FLAGS, BEGIN_PORT, BEGIN_TAG, BEGIN_CLASSIC = (0, 2), (2, 4), (6, 8), (14, 9), (26, 1)
"""Low bit and width of the fields of R0's data. [contract, Steps and outcomes]"""
FROM_POOL = (63, 1)
FRAME = (0, 44)
ANSWER_STATUS = (0, 2)
FLAGS_OF_RECORD, PAGE_PROT_OF_RECORD = (0, 16), (16, 10)
"""Of R1-R6's data. [contract, Steps and outcomes]"""
ALL_SPACES = 0xFFFF
WITH_SEQUENCE = (Step.R2, Step.R3, Step.R8, Step.R10, Step.R11, Step.R14, Step.SEQ_BEGIN, Step.SEQ_END)
WITHOUT_ADDRESS = (
    Step.MM_LOCK, Step.MM_UNLOCK, Step.SEQ_BEGIN, Step.SEQ_END, Step.PTE_LOCK, Step.PTE_UNLOCK, Step.FENCE, Step.SPACE_TABLE,
    Step.SPACE_VMAS, Step.ILLEGAL,
)  # fmt: skip


def _bits(word: int, place: tuple[int, int]) -> int:
    low, width = place
    return word >> low & ((1 << width) - 1)


def _names(word: int, names: Iterable[str]) -> str:
    return "|".join(name for bit, name in enumerate(names) if word >> bit & 1) or "none"


def _pte(word: int) -> str:
    rights = "".join(letter if word >> bit & 1 else "-" for bit, letter in enumerate(PTE_BITS))
    return f"{word:#x} (frame {_bits(word, PTE_PPN):#x} {rights})"


def _enum_name(kind: Any, number: int) -> str:
    return next((str(member.name).lower() for member in kind if member.value == number), str(number))


def begin_fields(event: WaveEvent) -> tuple[str, int, bool]:
    """Of an R0: the access by name, the attempt (0 first), and whether it is made under the mm lock."""
    word = event.data
    return _enum_name(Access, _bits(word, BEGIN_ACCESS)), _bits(word, BEGIN_ATTEMPT), bool(_bits(word, BEGIN_CLASSIC))


def _begin(event: WaveEvent) -> str:
    word = event.data
    access, attempt, under_lock = begin_fields(event)
    classic = ", under the mm lock" if under_lock else ""
    flags = _bits(word, BEGIN_FLAGS)
    return (
        f"{access}, space {event.space}, port {_bits(word, BEGIN_PORT)} tag {_bits(word, BEGIN_TAG)}, attempt {attempt}{classic}"
        f"{', ' + _names(flags, FAULT_FLAGS) if flags else ''}"
    )


def _frame(event: WaveEvent) -> str:
    return f"frame {_bits(event.data, FRAME):#x}{'' if _bits(event.data, FROM_POOL) else ' (not of the pool)'}"


def _undo(event: WaveEvent) -> str:
    return f"frame {_bits(event.data, FRAME):#x} given back" if _bits(event.data, FROM_POOL) else ""


def _invalidate(event: WaveEvent) -> str:
    where = "all spaces" if event.space == ALL_SPACES else f"space {event.space}"
    return f"{where}, {f'{event.data} page(s)' if event.data else 'all pages'}"


def _entry(event: WaveEvent) -> str:
    return f"entry {_pte(event.data)} at {event.addr:#x}"


def _table(event: WaveEvent) -> str:
    return f"leaf table {event.addr:#x}"


def _satp(event: WaveEvent) -> str:
    return f"space {event.space}, {_enum_name(PagingMode, _bits(event.data, SATP_MODE))} table {_bits(event.data, SATP_PPN) << 12:#x}"


def _space(event: WaveEvent) -> str:
    return f"space {event.space}"


def _record(event: WaveEvent) -> str:
    """Of R1 to R6, what the steps have read."""
    record = f"record {event.addr:#x}"
    if not event.covers(Step.R3):
        return record
    return f"{record}, {_names(_bits(event.data, FLAGS_OF_RECORD), VMA_FLAGS)}, page_prot {_bits(event.data, PAGE_PROT_OF_RECORD):#x}"


def _walked(event: WaveEvent) -> str:
    """R7 alone; with the steps after it, it ended at an empty entry."""
    return f"no entry at {event.addr:#x}" if event.covers(Step.R8) else _entry(event)


def _filled(event: WaveEvent) -> str:
    source = f"copy of frame {_bits(event.data, FRAME):#x}" if _bits(event.data, FROM_POOL) else "zeroed"
    return f"frame at {event.addr:#x}, {source}"


DETAILS: dict[Step, Callable[[WaveEvent], str]] = {
    Step.R0: _begin,
    Step.R1: _record,
    Step.R3: lambda event: f"{_names(event.data, VMA_FLAGS)}, page_prot {event.addr:#x}" if not event.covers(Step.R1) else "",
    Step.R7: _walked,
    Step.R9: _frame,
    Step.PAGE: lambda event: f"slot {event.data:#x} at {event.addr:#x}" if event.addr else "beyond the file's page cache",
    Step.FILL: _filled,
    Step.CLEAR: lambda event: f"was {_pte(event.data)} at {event.addr:#x}",
    Step.FLUSH: lambda event: f"entry at {event.addr:#x}",
    Step.AROUND: lambda event: f"{event.data.bit_count()} page(s) around, entries from {event.addr:#x} on",
    Step.TABLE: _entry,
    Step.R13: _table,
    Step.R16: _entry,
    Step.R17: lambda event: "" if event.covers(Step.R16) else _entry(event),
    Step.R18: _entry,
    Step.UNDO: _undo,
    Step.ANSWER: lambda event: _enum_name(AnswerStatus, _bits(event.data, ANSWER_STATUS)).upper(),
    Step.MM_READ_LOCK: _space,
    Step.MM_READ_UNLOCK: _space,
    Step.MM_LOCK: _space,
    Step.MM_UNLOCK: _space,
    Step.PTE_LOCK: _table,
    Step.PTE_UNLOCK: _table,
    Step.PTE_CLEAR: lambda event: f"space {event.space}, was {_pte(event.data)} at {event.addr:#x}",
    Step.PTE_PROTECT: lambda event: f"space {event.space}, now {_pte(event.data)} at {event.addr:#x}",
    Step.INVALIDATE: _invalidate,
    Step.SPACE_TABLE: _satp,
    Step.SPACE_VMAS: lambda event: f"space {event.space}, root pointer {event.data:#x}",
    Step.ILLEGAL: lambda event: f"command word {event.data:#x}",
    Step.AD_LOCK: lambda event: f"space {event.space}, entry at {event.addr:#x}",
    Step.AD_UPDATE: lambda event: f"space {event.space}, {_pte(event.data)} at {event.addr:#x}",
}
"""What the numbers of a step mean."""


def event_detail(event: WaveEvent) -> str:
    """What the numbers of an event mean."""
    # a reader's step that failed may have come before it had an address or data
    empty = event.outcome != 0 and not event.data and not event.addr and not event.covers(Step.ANSWER)
    return "" if empty else ", ".join(text for step, describe in DETAILS.items() if event.covers(step) and (text := describe(event)))


def agent_name(agent: int) -> str:
    """`ctx 3` for a fault context."""
    return {COMMAND_UNIT: "commands", UPDATE_AGENT: "updates"}.get(agent, f"ctx {agent}")


def _has_address(event: WaveEvent) -> bool:
    return not any(event.covers(step) for step in WITHOUT_ADDRESS)


def event_sequence(event: WaveEvent) -> str:
    """The sequence that an event tells; empty for steps that have none."""
    return str(event.seq) if any(event.covers(step) for step in WITH_SEQUENCE) else ""


def event_line(event: WaveEvent) -> str:
    """One line under `HEADING`: cycle, agent, number of the fault, steps, page address, VMA id, sequence, outcome, and what the numbers mean."""
    sequence = event_sequence(event)
    has_id = event.id or sequence
    address = f"{event.va:#x}" if _has_address(event) else ""
    return (
        f"{event.cycle:>10}  {agent_name(event.agent):<8} {event.fault or '':>6} {event.steps:<15} {address:<18} "
        f"{event.id if has_id else '':>5} {sequence:>10}  {event.outcome_name:<11} {event_detail(event)}"
    ).rstrip()


def event_record(event: WaveEvent) -> dict[str, Any]:
    """The JSON of one event: names for steps and outcome, numbers as in the contract, addresses as hex strings."""
    return {
        "cycle": event.cycle, "agent": event.agent, "fault": event.fault or None, "steps": event.steps, "first": event.first, "last": event.last,
        "outcome": event.outcome_name, "space": event.space, "va": f"{event.va:#x}", "id": event.id, "seq": event.seq,
        "addr": f"{event.addr:#x}", "data": f"{event.data:#x}",
        "detail": event_detail(event),
    }  # fmt: skip


def select_events(
    events: Iterable[WaveEvent], *, context: int | None = None, first: int | None = None, last: int | None = None, limit: int | None = None
) -> Iterator[WaveEvent]:
    """The events of agent `context`, in the cycles `first` to `last` (both inclusive), at most `limit` of them."""
    count = 0
    for event in events:
        if (last is not None and event.cycle > last) or (limit is not None and count >= limit):
            return
        if (context is None or event.agent == context) and (first is None or event.cycle >= first):
            count += 1
            yield event
