"""Events of R0 to R7 and PAGE: is what the engine says that it read possible, and does the step give the outcome that it reports?

The engine reads memory over many cycles, so a value is judged against all that the word held in the step's window. Some aborts are allowed where
the step itself would go on: the engine may be more careful than it has to be.
"""

from collections.abc import Sequence

from ..layout import VPN_MASK, Access, Outcome, RequestBits, Step
from ..protocol.find_steps import page, r0, r1, r2, r3, r4, r5, r6, r7
from ..protocol.world import NotAllowed, Phase, classic_from, fail
from .early import early_entries, read_early
from .history import features_key
from .lookups import NO_TABLE_LEVEL, find_page_now, find_vma_since, page_lookup_ends_at, read_record, walk, walk_ends_at
from .state import Fault, State, bus_error

__all__ = ["begin", "expect_id", "fields", "find", "judge_walk", "looked_up", "walked"]

Event = Sequence[int]
"""first last agent outcome space vpn id seq addr data"""
FLAGS_MASK, PAGE_PROT_AT = 0xFFFF, 16
"""Event data of R1-R6: flags, and above them page_prot."""
_OK = Outcome.OK


def begin(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R0: the fault is named by its first attempt, and later ones name the same."""
    access, flags, port, tag, attempt, classic = RequestBits.decode(event[9])
    space, vpn = event[4], event[5]
    if fault.phase not in (Phase.IDLE, Phase.UNDONE) or (fault.phase == Phase.IDLE) == fault.known:
        raise NotAllowed(f"context {fault.agent} is to do {Phase(fault.phase).name} next")
    if not fault.known and attempt != 0:
        raise NotAllowed(f"a fault begins with attempt {attempt}, not 0")
    if fault.known and (space, vpn, access, flags, port, tag) != (fault.space, fault.vpn, fault.access, fault.flags, fault.port, fault.tag):
        raise NotAllowed("another attempt names another request than the first")
    if bool(classic) != (attempt >= classic_from(state)):
        kind = "classic" if classic else "speculative"
        raise NotAllowed(f"attempt {attempt} is {kind}: policy {state.policy}, {state.max_retries} speculative attempts at the most")
    if fault.holds_read_lock and fault.space != space:
        raise NotAllowed("a classic attempt without the mm lock of its space")
    before = fault.attempt
    r0(state, fault)
    if attempt != fault.attempt:
        raise NotAllowed(f"attempt {attempt} after attempt {before}")
    fault.known = True
    fault.space, fault.vpn, fault.access, fault.flags, fault.port, fault.tag = space, vpn, access, flags, port, tag
    fault.began = fault.record_since = fault.walk_began = state.now


def find(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R1 to R2 or R6: the record was reachable for this page through a root that was published since R0."""
    last, vma_id, record = event[1], event[6], event[8]
    found = outcome if last == Step.R1 else _OK
    if found == Outcome.BUS_ERROR:
        return bus_error(state, fault)
    possible = find_vma_since(state.memory, fault.space, fault.vpn, fault.began)
    if found != _OK and all(result[0] != found for result in possible):
        raise NotAllowed(f"lookup of page {fault.vpn:#x} ends with {found.name}; the tree gives {_describe(possible)}")
    if found == _OK and (_OK, record, vma_id) not in possible:
        raise NotAllowed(f"record {record:#x} of VMA {vma_id} was not reachable for page {fault.vpn:#x}; the tree gives {_describe(possible)}")
    r1(state, fault, found, record, vma_id)
    if found == _OK:
        _snapshot(state, fault, outcome if last == Step.R2 else _OK, event[7])
    if last > Step.R2:
        _judge_fields(state, fault, last, outcome, event[9] & FLAGS_MASK, event[9] >> PAGE_PROT_AT)


def _describe(found: list[tuple[Outcome, int, int]]) -> str:
    return " or ".join(f"record {record:#x} of VMA {vma_id}" if outcome == _OK else outcome.name for outcome, record, vma_id in found)


def _snapshot(state: State, fault: Fault, outcome: Outcome, seq: int) -> None:
    """R2. CHANGED: "the record was read under another sequence than the current one". Under vma-lock a writer that waits counts as one."""
    current = state.sequence(fault.id)
    if not fault.classic and seq != current:
        raise NotAllowed(f"R2 reports sequence {seq:#x} of VMA {fault.id}, it is {current:#x}")
    if outcome != _OK and fault.classic:
        raise NotAllowed("R2 fails under the mm lock, where the sequence is not looked at")
    if outcome == Outcome.CHANGED:
        if state.sequences.changed_at(fault.id) <= fault.began:
            raise NotAllowed(f"R2 false abort: the sequence of VMA {fault.id} has not changed since R0")
        fail(fault, outcome)
        return
    verdict = r2(state, fault)
    if outcome == verdict == _OK:
        fault.record_since = fault.began if fault.classic else max(fault.began, state.sequences.changed_at(fault.id))
    elif outcome == _OK:
        raise NotAllowed(f"R2 accepted the odd sequence {current:#x} of VMA {fault.id}: a writer is active")
    elif verdict == _OK and state.policy != "vma-lock":
        raise NotAllowed(f"R2 false abort: sequence {current:#x} of VMA {fault.id} is even")
    else:
        fault.holds_vma = False
        fail(fault, outcome)


def fields(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R3-R6 as an event of its own."""
    expect_id(fault, event)
    if not fault.classic and event[7] != fault.seq:
        raise NotAllowed(f"R3-R6 reports sequence {event[7]:#x}, the snapshot is {fault.seq:#x}")
    _judge_fields(state, fault, event[1], outcome, event[9], event[8])


def _judge_fields(state: State, fault: Fault, last: int, outcome: Outcome, vma_flags: int, page_prot: int) -> None:
    """Flags and page_prot were in the record under this sequence, and the verdicts follow from them."""
    _held(state, fault, 16, "flags", vma_flags)
    verdict = r3(state, fault, vma_flags)
    if verdict != (outcome if last == Step.R3 else _OK):
        raise NotAllowed(f"R3 outcome {outcome.name} for flags {vma_flags:#x}")
    if last == Step.R3:
        return
    _held(state, fault, 24, "page_prot", page_prot)
    r4(state, fault, page_prot)
    covered = outcome != Outcome.BOUNDS
    if covered not in _possible_bounds(state, fault):
        record = read_record(state.memory, fault.record)
        raise NotAllowed(f"R5 outcome {outcome.name} for page {fault.vpn:#x} of {record.start:#x}..{record.end:#x}")
    r5(state, fault, covered)
    if last == Step.R6:
        if r6(state, fault) != outcome:
            raise NotAllowed(f"R6 outcome {outcome.name} for a {Access(fault.access).name.lower()} with flags {fault.vma_flags:#x}")
        fault.walk_began = state.now
        fault.invalidated = False


def expect_id(fault: Fault, event: Event) -> None:
    """The event names the VMA of the snapshot."""
    if event[6] != fault.id:
        raise NotAllowed(f"the event names VMA {event[6]}, the snapshot is of VMA {fault.id}")


def _held(state: State, fault: Fault, offset: int, name: str, value: int) -> None:
    if not state.memory.held(fault.record + offset, value, fault.record_since):
        now = state.memory.read(fault.record + offset)
        raise NotAllowed(f"R4 {name} {value:#x} {'were' if offset == 16 else 'was'} not in the record (now {now:#x}) under this sequence")


def _possible_bounds(state: State, fault: Fault) -> set[bool]:
    """Whether the page may be within the bounds that the engine read."""
    if fault.classic or state.sequences.changed_at(fault.id) <= fault.record_since:
        record = read_record(state.memory, fault.record)
        return {record.start <= fault.vpn < record.end}
    first, last = (state.memory.values(fault.record + offset, fault.record_since) for offset in (0, 8))
    now = read_record(state.memory, fault.record)
    pairs = {(start & VPN_MASK, end & VPN_MASK) for start in first for end in last} | {(now.start, now.end)}
    return {start <= fault.vpn < end for start, end in pairs}


def walked(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """R7: a walk may have ended there since R3-R6."""
    judge_walk(state, fault, event[8], event[9], outcome)


def judge_walk(state: State, fault: Fault, address: int, entry: int, outcome: Outcome) -> None:
    """R7 with this end."""
    if outcome == Outcome.BUS_ERROR:
        return bus_error(state, fault)
    level = walk_ends_at(state.memory, fault.space, fault.vpn, fault.walk_began, address, entry)
    if level is None and entry in early_entries(state, fault.space, address):
        read_early(state, address, entry)
        level = walk_ends_at(state.memory, fault.space, fault.vpn, fault.walk_began, address, entry)
    if level == NO_TABLE_LEVEL and outcome in (Outcome.NO_TABLE, Outcome.BAD_TABLE):
        fail(fault, outcome)
        return
    if level is None or level == NO_TABLE_LEVEL:
        now = "a walk ends at {:#x} with {:#x} (level {})".format(*walk(state.memory, fault.space, fault.vpn))
        raise NotAllowed(f"R7 reports entry {entry:#x} at {address:#x}; {now}")
    state.entry_read(address, entry, fault.walk_began)
    expected = r7(state, fault, level, address, entry, state.memory.read(features_key(fault.space)))
    if outcome != expected:
        raise NotAllowed(f"R7 outcome {outcome.name} for entry {entry:#x} at level {level}, it is {expected.name}")


def looked_up(state: State, fault: Fault, event: Event, outcome: Outcome) -> None:
    """PAGE: the lookup may have ended there since the walk began, in a file that the record named under this sequence."""
    expect_id(fault, event)
    address, word = event[8], event[9]
    if outcome == Outcome.BUS_ERROR:
        return bus_error(state, fault)
    found = page_lookup_ends_at(state.memory, fault.record, fault.record_since, fault.vpn, fault.walk_began, address, word)
    if found is None:
        now = "a lookup ends with {} at {:#x}, which holds {:#x}".format(*find_page_now(state.memory, fault.record, fault.vpn))
        raise NotAllowed(f"PAGE reports {word:#x} at {address:#x}; {now}")
    expected = page(state, fault, found, word)
    if outcome != expected:
        raise NotAllowed(f"PAGE outcome {outcome.name} for {word:#x} (flags {fault.vma_flags:#x}, entry {fault.entry:#x}), it is {expected.name}")
    fault.slot = address
