"""A small hand-made world for the checker's tests: one space, two VMAs, and streams of the faults and writers in it."""

import sys
from dataclasses import dataclass, field

import pytest

from seqfault_golden import Access, Checker, How, Outcome, Status, Step, StepEvent

ROOT, MIDDLE, LEAF = 0x100, 0x101, 0x102
"""PPNs of the Sv39 tables of space 1."""
NODE, RECORD, READ_ONLY_RECORD = 0x20_0000, 0x20_1000, 0x20_1040
TABLE = LEAF << 12
ZERO_FRAME = 0x900
FRAMES = tuple(range(0xA00, 0xA10))
SPACE, VMA, READ_ONLY_VMA = 1, 5, 6
PAGE, READ_ONLY_PAGE = 0x1_2345, 0x1_2380
FLAGS, READ_ONLY_FLAGS = 0x13, 0x11
PROT, READ_ONLY_PROT = 0x17, 0x13
"""V R W U, and V R U."""
BRANCH, ADDED_BY_STORE, ADDED_BY_LOAD = 0x1, 0x1C0, 0x40
"""EXCLUSIVE D A, and A: every store here gets a frame of the pool."""
POOL = 1 << 63
SATP = 8 << 60 | ROOT


def entry_of(vpn):
    """Byte address of the leaf entry of a page of this world (all are in one leaf table)."""
    return TABLE + (vpn & 511) * 8


def pte_of(frame, prot=PROT, store=True):
    """The entry that a fault commits."""
    return frame << 10 | (prot | ADDED_BY_STORE if store else prot & ~4 | ADDED_BY_LOAD)


@dataclass
class Stream:
    """Calls of a Checker, in order; `cycle` moves on by itself. Each method adds calls and returns self."""

    calls: list = field(default_factory=list)
    cycle: int = 0

    def add(self, name, *arguments):
        self.cycle += 1
        self.calls.append((name, *arguments) if name == "frames" else (name, self.cycle, *arguments))
        return self

    def event(self, first, last=None, agent=0, **fields):
        return self.add("event", StepEvent(first, first if last is None else last, agent, **fields))

    def command(self, step, **fields):
        return self.event(step, agent=63, **fields)

    def write(self, address, value, *found):
        return self.add("write", address, value, *found)

    def request(self, tag=1, vpn=PAGE, access=Access.STORE, port=0):
        return self.add("request", port, tag, vpn << 12 | 0x28, SPACE, access, 1)

    def answer(self, tag=1, frame=FRAMES[0], status=Status.OK, how=How.SPECULATIVE, reason=Outcome.OK, port=0):
        return self.add("answer", port, tag, status, how, reason, frame << 12 | 0x28 if status == Status.OK else 0)

    def setup(self):
        """Tables, tree, frames."""
        for address, value in (
            ((ROOT << 12) + (PAGE >> 18 & 511) * 8, MIDDLE << 10 | BRANCH),
            ((MIDDLE << 12) + (PAGE >> 9 & 511) * 8, LEAF << 10 | BRANCH),
            (NODE, VMA << 48 | 0x1_2340), (NODE + 8, RECORD | 2),
            (NODE + 16, READ_ONLY_VMA << 48 | 0x1_2380), (NODE + 24, READ_ONLY_RECORD | 2),
            (RECORD, VMA << 48 | 0x1_2340), (RECORD + 8, 0x1_2380), (RECORD + 16, FLAGS), (RECORD + 24, PROT),
            (READ_ONLY_RECORD, READ_ONLY_VMA << 48 | 0x1_2380), (READ_ONLY_RECORD + 8, 0x1_23C0),
            (READ_ONLY_RECORD + 16, READ_ONLY_FLAGS), (READ_ONLY_RECORD + 24, READ_ONLY_PROT),
        ):  # fmt: skip
            self.write(address, value)
        self.add("frames", FRAMES)
        self.command(Step.SPACE_TABLE, space=SPACE, data=SATP)
        return self.command(Step.SPACE_VMAS, space=SPACE, data=NODE | 1)

    def begin(self, agent=0, tag=1, vpn=PAGE, access=Access.STORE, attempt=0, classic=0, port=0):
        data = access | 1 << 2 | port << 6 | tag << 14 | attempt << 23 | classic << 26
        return self.event(Step.R0, agent=agent, space=SPACE, vpn=vpn, data=data)

    def find(self, agent=0, seq=0, outcome=0, vma=VMA, record=RECORD):
        return self.event(Step.R1, Step.R2, agent, outcome=outcome, id=vma, seq=seq, addr=record)

    def fields(self, agent=0, seq=0, outcome=0, vma=VMA, flags=FLAGS, prot=PROT):
        return self.event(Step.R3, Step.R6, agent, outcome=outcome, id=vma, seq=seq, addr=prot, data=flags)

    def walk(self, agent=0, vpn=PAGE, outcome=0, entry=0):
        return self.event(Step.R7, agent=agent, outcome=outcome, addr=entry_of(vpn), data=entry)

    def allocate(self, agent=0, seq=0, vma=VMA, frame=FRAMES[0], pool=True):
        return self.event(Step.R8, Step.R9, agent, id=vma, seq=seq, data=frame | POOL * pool)

    def check(self, agent=0, seq=0, vma=VMA, outcome=0, last=Step.R12):
        return self.event(Step.R10, last, agent, id=vma, seq=seq, outcome=outcome)

    def lock(self, agent=0, outcome=0):
        return self.event(Step.R13, agent=agent, addr=TABLE, outcome=outcome)

    def recheck(self, agent=0, seq=0, vma=VMA):
        return self.event(Step.R14, Step.R15, agent, id=vma, seq=seq)

    def commit(self, agent=0, vpn=PAGE, pte=None):
        return self.event(Step.R16, Step.R17, agent, addr=entry_of(vpn), data=pte_of(FRAMES[0]) if pte is None else pte)

    def unlock(self, agent=0, vpn=PAGE, pte=None):
        return self.event(Step.R18, agent=agent, addr=entry_of(vpn), data=pte_of(FRAMES[0]) if pte is None else pte)

    def undo(self, outcome, agent=0, frame=None):
        return self.event(Step.UNDO, agent=agent, outcome=outcome, data=0 if frame is None else frame | POOL)

    def store_fault(self, agent=0, tag=1, vpn=PAGE, frame=FRAMES[0], seq=0, attempt=0, classic=0):
        """A store's fault from R0 to R18, without its request and answer."""
        pte = pte_of(frame)
        self.begin(agent, tag, vpn, attempt=attempt, classic=classic).find(agent, seq).fields(agent, seq).walk(agent, vpn)
        self.allocate(agent, seq, frame=frame).check(agent, seq).lock(agent).recheck(agent, seq)
        return self.commit(agent, vpn, pte).unlock(agent, vpn, pte)

    def zap(self, vpn, old, seq, vma=VMA):
        """A writer's section that removes one page: `seq` is the sequence within."""
        self.command(Step.MM_LOCK, space=SPACE).command(Step.SEQ_BEGIN, space=SPACE, id=vma, seq=seq)
        self.command(Step.PTE_LOCK, addr=TABLE)
        self.command(Step.PTE_CLEAR, space=SPACE, vpn=vpn, addr=entry_of(vpn), data=old).command(Step.PTE_UNLOCK, addr=TABLE)
        self.command(Step.INVALIDATE, space=SPACE, vpn=vpn, data=1).command(Step.FENCE)
        return self.command(Step.SEQ_END, space=SPACE, id=vma, seq=seq - 1).command(Step.MM_UNLOCK, space=SPACE)

    def served(self):
        """A store with its request, fault and answer."""
        return self.request().store_fault().answer()

    def aborted(self):
        """A store's first attempt until C2 fails; UNDO is to follow."""
        self.request().begin().find().fields().command(Step.INVALIDATE, space=SPACE).walk().allocate()
        return self.check(outcome=Outcome.WALK_C2)

    def section(self, seq=3):
        """Open a writer's section on the VMA; `seq` is the sequence within."""
        return self.command(Step.MM_LOCK, space=SPACE).command(Step.SEQ_BEGIN, space=SPACE, id=VMA, seq=seq)

    def sections(self, seq=3):
        """Open a section on both VMAs, which share all tables."""
        return self.section(seq).command(Step.SEQ_BEGIN, space=SPACE, id=READ_ONLY_VMA, seq=seq)

    def end_section(self, seq=2):
        return self.command(Step.SEQ_END, space=SPACE, id=VMA, seq=seq).command(Step.MM_UNLOCK, space=SPACE)

    # --- mutation ---------------------------------------------------------------------------------------------------

    def index(self, step, nth=0):
        """Where the nth event that begins with `step` is."""
        return [i for i, call in enumerate(self.calls) if call[0] == "event" and call[2].first == step][nth]

    def change(self, step, nth=0, **fields):
        i = self.index(step, nth)
        name, cycle, event = self.calls[i]
        self.calls[i] = (name, cycle, event._replace(**fields))
        return self

    def drop(self, step, nth=0):
        del self.calls[self.index(step, nth)]
        return self

    def insert(self, before, build, nth=0):
        """Put the calls that `build(stream)` adds in front of the nth event `before`."""
        i = self.index(before, nth)
        self.calls[i:i] = build(Stream(cycle=self.calls[i][1])).calls
        return self


@pytest.fixture
def world():
    """This module: its constants and functions."""
    return sys.modules[__name__]


@pytest.fixture
def stream():
    """A stream that has set the world up."""
    return Stream().setup()


@pytest.fixture
def play():
    """Give a stream to a checker, and finish with the memory that the stream's own writes make."""

    def run(stream, memory_changes=(), **parameters):
        parameters = {"zero_frame": ZERO_FRAME, "spaces": 4, "contexts": 4, "sequence_entries": 64} | parameters
        checker = Checker(**parameters)
        memory = {}
        for name, *arguments in stream.calls:
            if name == "frames":
                checker.software_frames(*arguments)
                continue
            method = {
                "write": checker.software_write, "event": checker.event, "request": checker.request, "answer": checker.answer,
                "completed": checker.srcu_completed,
            }[name]  # fmt: skip
            method(*arguments)
            if name == "write":
                memory[arguments[1]] = arguments[2]
            elif name == "event":
                event = arguments[1]
                if (event.last, event.outcome) == (Step.R17, 0) or event.first in (Step.PTE_CLEAR, Step.PTE_PROTECT):
                    memory[event.addr] = 0 if event.first == Step.PTE_CLEAR else event.data
                elif event.first == Step.AD_UPDATE and not event.outcome:
                    memory[event.addr] = event.data
        memory.update(memory_changes)
        checker.finish(lambda address: memory.get(address, 0))
        return checker

    return run
