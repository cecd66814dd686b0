"""The reader's steps R0 to R7 as a transition system: begin, find the VMA, snapshot, walk. [protocol.md 0.2; contract, Steps and outcomes]

Each function is one step of one fault: it raises `NotAllowed` when the protocol does not allow this step with this outcome and these
observed values in this state, and otherwise makes the step's change. What a step has read from memory is an argument, judged against the
values that the words had in the step's window; so the same functions serve a checker (observed values) and an explorer (chosen values).
"""

from .layout import VPN_MASK, Access, Outcome, VmaFlag
from .lookups import NO_TABLE_LEVEL, find_vma_since, read_record, walk, walk_ends_at, walk_outcome
from .state import RETRIED, Fault, NotAllowed, Phase, State, bus_error, expect_phase, fail

__all__ = ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"]

_UNSERVED = VmaFlag.SHARED | VmaFlag.GROWSDOWN | VmaFlag.UFFD | VmaFlag.HUGE
_ANY_RIGHT = VmaFlag.READ | VmaFlag.WRITE | VmaFlag.EXEC
_NEEDED = (_ANY_RIGHT, VmaFlag.WRITE, VmaFlag.EXEC)
"""By `Access`: any of these flags allows it."""


def r0(
    state: State, fault: Fault, space: int, vpn: int, access: int, flags: int, port: int, tag: int, attempt: int, classic: bool,
) -> None:  # fmt: skip
    """ "eligible? [..] set SPECULATIVE". The mm lock is taken "as a reader after `max_retries` (3) speculative attempts".

    "(and always under policy mm-lock)" [contract, mm lock]
    """
    if fault.phase == Phase.IDLE and not fault.known:
        if attempt != 0:
            raise NotAllowed(f"a fault begins with attempt {attempt}, not 0")
    elif fault.phase == Phase.UNDONE and fault.known:
        if (space, vpn, access, flags, port, tag) != (fault.space, fault.vpn, fault.access, fault.flags, fault.port, fault.tag):
            raise NotAllowed("another attempt names another request than the first")
        if fault.reason not in RETRIED:
            raise NotAllowed(f"another attempt after {fault.reason.name}, which is handed over")
        if attempt != fault.attempt + 1:
            raise NotAllowed(f"attempt {attempt} after attempt {fault.attempt}")
    else:
        raise NotAllowed(f"context {fault.agent} is to do {fault.phase.name} next")
    if classic != (attempt >= state.classic_from()):
        kind = "classic" if classic else "speculative"
        raise NotAllowed(f"attempt {attempt} is {kind}: policy {state.policy}, {state.max_retries} speculative attempts at the most")
    if classic and not (fault.holds_read_lock and fault.space == space):
        raise NotAllowed("a classic attempt without the mm lock of its space")
    fault.known = True
    fault.space, fault.vpn, fault.access, fault.flags, fault.port, fault.tag = space, vpn, access, flags, port, tag
    fault.attempt, fault.classic = attempt, classic
    fault.began = fault.record_since = fault.walk_began = state.now
    fault.phase = Phase.R1


def r1(state: State, fault: Fault, outcome: Outcome, record: int, vma_id: int) -> None:
    """ "find VMA in the index": reachable for this page through a root that was published since R0. Else NO_VMA, BAD_TREE."""
    expect_phase(fault, Phase.R1)
    if outcome == Outcome.BUS_ERROR:
        return bus_error(state, fault)
    found = find_vma_since(state.memory, fault.space, fault.vpn, fault.began)
    if outcome != Outcome.OK:
        if all(result[0] != outcome for result in found):
            raise NotAllowed(f"lookup of page {fault.vpn:#x} ends with {outcome.name}; the tree gives {_describe(found)}")
        return fail(fault, outcome)
    if (Outcome.OK, record, vma_id) not in found:
        raise NotAllowed(f"record {record:#x} of VMA {vma_id} was not reachable for page {fault.vpn:#x}; the tree gives {_describe(found)}")
    fault.record, fault.id = record, vma_id
    fault.phase = Phase.R2


def _describe(found: list[tuple[Outcome, int, int]]) -> str:
    return " or ".join(f"record {record:#x} of VMA {vma_id}" if outcome == Outcome.OK else outcome.name for outcome, record, vma_id in found)


def r2(state: State, fault: Fault, outcome: Outcome, seq: int) -> None:
    """ "seq := vma.vm_sequence (acquire); must be even". CHANGED: "the record was read under another sequence than the current one"."""
    expect_phase(fault, Phase.R2)
    current = state.sequences.value(fault.id)
    if not fault.classic and seq != current:
        raise NotAllowed(f"R2 reports sequence {seq:#x} of VMA {fault.id}, it is {current:#x}")
    if outcome in (Outcome.ODD, Outcome.CHANGED) and fault.classic:
        raise NotAllowed("R2 fails under the mm lock, where the sequence is not looked at")
    if outcome == Outcome.ODD:
        if not current & 1 and state.policy != "vma-lock":  # there, a writer that waits counts too
            raise NotAllowed(f"R2 false abort: sequence {current:#x} of VMA {fault.id} is even")
        return fail(fault, outcome)
    if outcome == Outcome.CHANGED:
        if state.sequences.changed_at(fault.id) <= fault.began:
            raise NotAllowed(f"R2 false abort: the sequence of VMA {fault.id} has not changed since R0")
        return fail(fault, outcome)
    if current & 1 and not fault.classic:
        raise NotAllowed(f"R2 accepted the odd sequence {current:#x} of VMA {fault.id}: a writer is active")
    fault.seq = current
    fault.record_since = fault.began if fault.classic else max(fault.began, state.sequences.changed_at(fault.id))
    fault.holds_vma = state.policy == "vma-lock" and not fault.classic
    fault.phase = Phase.R3


def r3(state: State, fault: Fault, outcome: Outcome, vma_flags: int) -> None:
    """ "type filter": "VMAs with ANON and none of SHARED, GROWSDOWN, UFFD, HUGE. Others are UNSUPPORTED"."""
    expect_phase(fault, Phase.R3)
    if not state.memory.held(fault.record + 16, vma_flags, fault.record_since):
        raise NotAllowed(f"R4 flags {vma_flags:#x} were not in the record (now {state.memory.read(fault.record + 16):#x}) under this sequence")
    served = bool(vma_flags & VmaFlag.ANON) and not vma_flags & _UNSERVED
    if served != (outcome != Outcome.UNSUPPORTED):
        raise NotAllowed(f"R3 outcome {outcome.name} for flags {vma_flags:#x}")
    fault.vma_flags = vma_flags
    if not served:
        return fail(fault, outcome)
    fault.phase = Phase.R4


def r4(state: State, fault: Fault, page_prot: int) -> None:
    """ "snapshot vma_flags, vma_page_prot (single-copy-atomic reads, each field read once)"."""
    expect_phase(fault, Phase.R4)
    if not state.memory.held(fault.record + 24, page_prot, fault.record_since):
        raise NotAllowed(f"R4 page_prot {page_prot:#x} was not in the record (now {state.memory.read(fault.record + 24):#x}) under this sequence")
    fault.page_prot = page_prot
    fault.phase = Phase.R5


def r5(state: State, fault: Fault, outcome: Outcome) -> None:
    """ "bounds: vm_start <= addr < vm_end"."""
    expect_phase(fault, Phase.R5)
    record = read_record(state.memory, fault.record)
    verdicts = {record.start <= fault.vpn < record.end}
    if not (fault.classic or state.sequences.changed_at(fault.id) <= fault.record_since):
        first, last = (state.memory.values(fault.record + offset, fault.record_since) for offset in (0, 8))
        verdicts = {start & VPN_MASK <= fault.vpn < end & VPN_MASK for start in first for end in last}
    if (outcome != Outcome.BOUNDS) not in verdicts:
        raise NotAllowed(f"R5 outcome {outcome.name} for page {fault.vpn:#x} of {record.start:#x}..{record.end:#x}")
    if outcome == Outcome.BOUNDS:
        return fail(fault, outcome)
    fault.phase = Phase.R6


def r6(state: State, fault: Fault, outcome: Outcome) -> None:
    """ "permission test against the *snapshot* (write needs VM_WRITE; read needs any of R/W/X)"; a fetch needs EXEC."""
    expect_phase(fault, Phase.R6)
    if bool(fault.vma_flags & _NEEDED[fault.access]) != (outcome != Outcome.ACCESS):
        raise NotAllowed(f"R6 outcome {outcome.name} for a {Access(fault.access).name.lower()} with flags {fault.vma_flags:#x}")
    if outcome == Outcome.ACCESS:
        return fail(fault, outcome)
    fault.walk_began = state.now
    fault.invalidated = False
    fault.phase = Phase.R7


def r7(state: State, fault: Fault, outcome: Outcome, address: int, entry: int) -> None:
    """ "walk every level with one read per entry; none/bad/huge at any level aborts; orig_pte := *pte"."""
    expect_phase(fault, Phase.R7)
    if outcome == Outcome.BUS_ERROR:
        return bus_error(state, fault)
    level = walk_ends_at(state.memory, fault.space, fault.vpn, fault.walk_began, address, entry)
    if level == NO_TABLE_LEVEL and outcome in (Outcome.NO_TABLE, Outcome.BAD_TABLE):
        return fail(fault, outcome)
    if level is None or level == NO_TABLE_LEVEL:
        now = "a walk ends at {:#x} with {:#x} (level {})".format(*walk(state.memory, fault.space, fault.vpn))
        raise NotAllowed(f"R7 reports entry {entry:#x} at {address:#x}; {now}")
    expected = walk_outcome(entry, level, fault.access)
    if outcome != expected:
        raise NotAllowed(f"R7 outcome {outcome.name} for entry {entry:#x} at level {level}, it is {expected.name}")
    fault.entry_address, fault.entry = address, entry
    if outcome == Outcome.MAPPED:
        fault.reason = outcome
        fault.holds_vma = False
        fault.phase = Phase.MAPPED
    elif outcome != Outcome.OK:
        fail(fault, outcome)
    else:
        fault.phase = Phase.R8
