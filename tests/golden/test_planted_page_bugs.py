"""Files, copy on write, tables of the engine, fault-around: what the functional engine did, with one planted bug; the checker names the bug."""

import pytest

from seqfault_golden import Access, Checker, How, Outcome, Status, Step
from seqfault_golden.layout import VmaFlag

from .conftest import Stream
from .test_replay_pages import EXCLUSIVE, FIRST_NODE, MAPPABLE, READ_WRITE, SHARED, WRITABLE, fault, shows_file, slot_of, slot_word
from .test_replay_world import SPACE_TABLE, SPACE_VMAS, Surroundings

WINDOW = range(0x1_2344, 0x1_2350)
BUGS = {}


class Tee:
    """A checker that keeps what it is told, as a `Stream`."""

    def __init__(self, checker):
        self.checker, self.stream = checker, Stream()

    def __getattr__(self, name):
        method = getattr(self.checker, name)
        kind = {"software_write": "write", "event": "event", "request": "request", "answer": "answer"}.get(name)

        def tell(cycle, *arguments):
            self.stream.add(kind, *arguments)
            return method(cycle, *arguments)

        return tell if kind else method


@pytest.fixture
def run(stream, world):
    """Run faults (page, access) in the world of `conftest` with changes: what was told, and the memory at the end."""

    def make(changes, *faults, flags=1):
        s = Surroundings(world)
        s.checker = tee = Tee(s.checker)
        for address, value in [call[2:] for call in stream.calls if call[0] == "write"] + list(changes):
            s.software_write(address, value)
        s.commands += [(SPACE_TABLE | 1 << 12, world.SATP), (SPACE_VMAS | 1 << 12, world.NODE | 1)]
        s.run()
        for vpn, access in faults:
            fault(s, world, vpn, access, flags)
        assert tee.checker.first_difference is None, tee.checker.first_difference
        return tee.stream, s

    return make


def difference(world, stream, memory, **parameters):
    """What the checker says."""
    checker = Checker(spaces=4, contexts=4, sequence_entries=256, zero_frame=world.ZERO_FRAME, initial_free_frames=world.FRAMES, **parameters)
    for name, *arguments in stream.calls:
        if name == "frames":
            checker.software_frames(*arguments)
        else:
            {"write": checker.software_write, "event": checker.event, "request": checker.request, "answer": checker.answer}[name](*arguments)
    checker.finish(lambda address: memory.get(address, 0))
    return checker.first_difference


def file_of(world, flags=READ_WRITE, bits=MAPPABLE, pages=WINDOW):
    return shows_file(world, flags, pages, bits=bits)


LOAD, STORE = Access.LOAD, Access.STORE
RUNS = {
    "load": lambda w: (file_of(w), (w.PAGE, LOAD)),
    "store": lambda w: (file_of(w), (w.PAGE, STORE)),
    "copy": lambda w: (file_of(w, pages=[w.PAGE]), (w.PAGE, LOAD), (w.PAGE, STORE)),
    "zero copy": lambda w: ((), (w.PAGE, LOAD), (w.PAGE, STORE)),
    "shared": lambda w: (file_of(w, SHARED, MAPPABLE | WRITABLE, [w.PAGE]), (w.PAGE, LOAD), (w.PAGE, STORE)),
    "in place": lambda w: ([(w.entry_of(w.PAGE), 0xD00 << 10 | 0x353)], (w.PAGE, STORE)),
    "locked": lambda w: (file_of(w, bits=MAPPABLE | 4), (w.PAGE, LOAD)),
    "read-only": lambda w: (file_of(w, SHARED), (w.PAGE, STORE)),
    "minor": lambda w: (file_of(w, READ_WRITE | VmaFlag.UFFD_MINOR), (w.PAGE, LOAD)),
    "beyond": lambda w: ([*file_of(w), (w.RECORD + 40, FIRST_NODE | 1)], (w.PAGE, LOAD)),
    "table": lambda w: ([((w.MIDDLE << 12) + (w.PAGE >> 9 & 511) * 8, 0)], (w.PAGE, STORE)),
    "tables": lambda w: ([((w.ROOT << 12) + (w.PAGE >> 18 & 511) * 8, 0)], (w.PAGE, STORE)),
}


@pytest.mark.parametrize("name", RUNS)
def test_without_a_bug_all_is_allowed(name, run, world):
    stream, s = run(*RUNS[name](world))
    assert difference(world, stream, dict(s.memory)) is None


def bug(run, reason):
    """The decorated function plants a bug in a stream of RUNS; what the checker says must contain `reason`."""

    def register(plant):
        BUGS[plant.__name__] = (run, plant, reason)
        return plant

    return register


# --- the page cache -------------------------------------------------------------------------------------------------


@bug("load", "PAGE reports 0x310c03 at 0x300408; a lookup ends with OK at 0x300408, which holds 0x311403")
def another_word(s, w):
    s.change(Step.PAGE, data=slot_word(0x1_2343), addr=slot_of(w, w.PAGE))


@bug("load", "PAGE reports")
def another_slot(s, w):
    s.change(Step.PAGE, data=slot_word(0x1_2346), addr=slot_of(w, 0x1_2346))


@bug("locked", "PAGE outcome OK for 0x311407 (flags 0x3, entry 0x0), it is PAGE_BUSY")
def locked_page_mapped(s, w):
    s.change(Step.PAGE, outcome=Outcome.OK)


@bug("read-only", "it is NOT_WRITABLE")
def shared_page_made_writable(s, w):
    s.change(Step.PAGE, outcome=Outcome.OK)


@bug("minor", "it is USERFAULT")
def minor_fault_resolved(s, w):
    s.change(Step.PAGE, outcome=Outcome.OK)


@bug("beyond", "PAGE reports 0x300201 at 0x300008")
def page_beyond_the_height_found(s, w):
    s.change(Step.PAGE, outcome=Outcome.OK, addr=0x300008, data=0x300201)


@bug("load", "context 0 is to do PAGE next")
def mapped_without_a_look(s, w):
    s.drop(Step.PAGE)


@bug("load", "PAGE reports 0x311403 at 0x300408")
def the_word_of_before_the_walk(s, w):
    s.insert(Step.R3, lambda t: t.write(slot_of(w, w.PAGE), 0))


@bug("load", "R9 maps frame 0xc46, not frame 0xc45 (SLOT)")
def frame_of_another_slot(s, w):
    s.change(Step.R8, data=0xC46)


@bug("load", "R9 takes a frame of the pool for SLOT")
def frame_of_the_pool_for_a_file(s, w):
    s.change(Step.R8, data=w.POOL | w.FRAMES[0])


@bug("load", "R17 commits 0x311553")
def page_of_a_file_called_exclusive(s, w):
    s.change(Step.R16, data=0xC45 << 10 | 0x53 | EXCLUSIVE)


@bug("load", "R17 commits 0x311457")
def page_of_a_file_mapped_writable(s, w):
    s.change(Step.R16, data=0xC45 << 10 | 0x57)


# --- copies ---------------------------------------------------------------------------------------------------------


@bug("store", "context 0 is to do FILL next")
def copy_forgotten(s, w):
    s.drop(Step.FILL)


@bug("store", "FILL of 0xa00000 with 0x8000000000000c46, not of 0xa00000 with 0x8000000000000c45")
def another_page_copied(s, w):
    s.change(Step.FILL, data=w.POOL | 0xC46)


@bug("store", "with 0x0, not of")
def zeroed_instead_of_copied(s, w):
    s.change(Step.FILL, data=0)


@bug("store", "R17 commits 0x2800d7")
def copy_not_exclusive(s, w):
    s.change(Step.R16, data=w.FRAMES[0] << 10 | 0xD7)


@bug("store", "R9 allocates frame 0xa00 for POOL, although a page was copied into it: it holds no zeros")
def copied_frame_for_anonymous_memory(s, w):
    """The store is undone after its copy; the next is to anonymous memory."""
    del s.calls[s.index(Step.R10) :]
    s.section().check(outcome=Outcome.CHANGED_C1, last=Step.R11, seq=3).undo(Outcome.CHANGED_C1, frame=w.FRAMES[0])
    s.write(w.RECORD + 16, w.FLAGS).end_section().begin(attempt=1).find(seq=2).fields(seq=2).walk().allocate(seq=2)


@bug("copy", "context 0 is to do CLEAR next")
def overwritten_without_a_clear(s, w):
    s.drop(Step.CLEAR).drop(Step.FLUSH).change(Step.R17, first=Step.R16)


@bug("copy", "context 0 is to do FLUSH next")
def set_without_a_flush(s, w):
    s.drop(Step.FLUSH)


@bug("copy", "CLEAR removes 0x311857 at 0x102a28")
def another_entry_released(s, w):
    s.change(Step.CLEAR, data=0xC46 << 10 | 0x57)


@bug("copy", "FLUSH of 0x102a30, the walk ended at 0x102a28")
def another_page_flushed(s, w):
    s.change(Step.FLUSH, addr=w.entry_of(w.PAGE + 1))


@bug("copy", "C4 false abort: no entry changed since the walk began")
def cleared_entry_called_changed(s, w):
    s.change(Step.CLEAR, outcome=Outcome.RACED)


@bug("zero copy", "RELEASED_FULL for an entry that maps the zero frame")
def zero_frame_waits_for_room(s, w):
    s.change(Step.CLEAR, outcome=Outcome.RELEASED_FULL)


@bug("copy", "was no valid translation since the last INVALIDATE before the request")
def old_frame_answered_after_the_flush(s, w):
    s.insert(Step.R17, lambda t: t.request(9, access=LOAD).answer(9, frame=0xC45, how=How.TRANSLATED))


@bug("copy", "C2 passed although an INVALIDATE hit this page")
def flush_unseen_by_another_fault(s, w):
    s.insert(Step.CLEAR, lambda t: t.request(9, access=LOAD).begin(3, 9, access=LOAD).find(3).fields(3, flags=READ_WRITE))
    s.insert(Step.R17, lambda t: t.walk(3).event(Step.PAGE, agent=3, id=w.VMA, addr=slot_of(w, w.PAGE), data=slot_word(w.PAGE)))
    s.insert(Step.R17, lambda t: t.allocate(3, frame=0xC45, pool=False).check(3))


@bug("shared", "context 0 is to do FLUSH next")
def right_added_without_a_flush(s, w):
    s.drop(Step.FLUSH)


@bug("shared", "context 0 is to do PAGE next")
def right_added_without_a_look(s, w):
    s.drop(Step.PAGE, 1)


@bug("in place", "R17 commits 0x3400d7")
def bits_of_software_lost(s, w):
    s.change(Step.R16, data=0xD00 << 10 | 0xD7)


@bug("in place", "R9 takes a frame of the pool for STAY")
def exclusive_frame_copied(s, w):
    s.change(Step.R8, data=w.POOL | w.FRAMES[0])


# --- fault-around ---------------------------------------------------------------------------------------------------


@bug("load", "context 0 is to do AROUND next")
def nothing_around(s, w):
    s.drop(Step.AROUND)


@bug("load", "AROUND leaves out page 0x1234f")
def page_left_out(s, w):
    s.change(Step.AROUND, data=0x7FD0)


@bug("load", "AROUND maps page 0x12346, whose slot holds 0x311807: it may not be mapped")
def locked_page_around(s, w):
    s.insert(Step.R0, lambda t: t.write(slot_of(w, 0x1_2346), slot_word(0x1_2346, MAPPABLE | 4)))


@bug("load", "AROUND overwrites 0x380053, the entry of page 0x12346 (I5)")
def mapped_page_around(s, w):
    s.insert(Step.R1, lambda t: t.section().write(w.entry_of(0x1_2346), 0x380053).end_section())
    s.change(Step.R1, seq=2).change(Step.R3, seq=2).change(Step.R8, seq=2).change(Step.R10, seq=2).change(Step.R14, seq=2)


@bug("load", "AROUND sets the entry at 0x102a18, which is beyond the VMA or the node of the page cache")
def page_of_another_node_around(s, w):
    s.change(Step.AROUND, data=0xFFD8)


@bug("load", "AROUND sets the entry at 0x102a68, which is beyond the VMA")
def page_beyond_the_vma_around(s, w):
    s.insert(Step.R0, lambda t: t.write(w.RECORD + 8, 0x1_234D))


@bug("load", "AROUND of 0xffd0 from 0x102a28 on")
def another_window(s, w):
    s.change(Step.AROUND, addr=w.entry_of(w.PAGE))


@bug("load", "BUS_ERROR although memory answers every access")
def bus_error_around(s, w):
    s.change(Step.AROUND, outcome=Outcome.BUS_ERROR)


# --- tables ---------------------------------------------------------------------------------------------------------


@bug("table", "context 0 is to do TABLE next")
def table_without_unlock(s, w):
    s.drop(Step.TABLE)


@bug("table", "R7 reports entry 0x0 at 0x101488")
def empty_entry_read_again(s, w):
    s.change(Step.R7, 1, addr=0x101488, data=0)


@bug("table", "R17 commits 0x2800d7")
def leaf_instead_of_a_table(s, w):
    s.change(Step.R16, data=w.FRAMES[0] << 10 | 0xD7)


@bug("table", "TABLE reports 0x280401 at 0x101488, committed was 0x280001")
def another_table_reported(s, w):
    s.change(Step.TABLE, data=w.FRAMES[1] << 10 | 1)


@bug("table", "frame 0xa00 becomes a page table, and has 0xd7 at 0xa00008")
def table_not_zeroed(s, w):
    s.insert(Step.R0, lambda t: t.write(0xA00008, 0xD7))


@bug("tables", "software offers frame 0xa01, which the entry at 0xa00488 maps")
def table_offered_as_a_frame(s, w):
    s.add("frames", [w.FRAMES[1]])


@bug("load", "software offers frame 0x102, which is in use")
def table_of_software_offered_as_a_frame(s, w):
    s.add("frames", [w.LEAF])


@bug("load", "software writes the entry of level 1 for page 0x12200 outside a section of VMA 5")
def table_removed_outside_a_section(s, w):
    s.write((w.MIDDLE << 12) + (w.PAGE >> 9 & 511) * 8, 0)


@bug("load", "outside a section of VMA 6")
def table_removed_without_the_neighbours_section(s, w):
    s.section(1 | 2).write((w.MIDDLE << 12) + (w.PAGE >> 9 & 511) * 8, 0)


# --- at the end -----------------------------------------------------------------------------------------------------


@bug("load", "maps a frame that the page cache has given up: its slot at 0x300410 holds 0x0")
def page_taken_out_without_a_zap(s, w):
    s.write(slot_of(w, 0x1_2346), 0)


@bug("load", "maps a frame that the page cache has given up")
def page_exchanged_without_a_zap(s, w):
    s.write(slot_of(w, w.PAGE), slot_word(0x1_2399))


@bug("shared", "has what its slot at 0x300408 does not allow any more")
def right_to_write_taken_without_a_zap(s, w):
    s.write(slot_of(w, w.PAGE), slot_word(w.PAGE))


@bug("in place", "frame 0xd00 is EXCLUSIVE, and mapped at")
def exclusive_frame_mapped_twice(s, w):
    s.section().write(w.entry_of(w.PAGE + 1), 0xD00 << 10 | 0x53).end_section()


@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_named(name, run, world):
    base, plant, reason = BUGS[name]
    stream, s = run(*RUNS[base](world))
    calls = list(stream.calls)
    plant(stream, world)
    written = {call[2]: call[3] for call in stream.calls if call[0] == "write" and call not in calls}
    assert reason in (difference(world, stream, s.memory | written) or "nothing").partition("\n")[0]


def test_a_page_that_is_taken_out_in_a_section_is_allowed(run, world):
    stream, s = run(*RUNS["load"](world))
    stream.section().write(slot_of(world, 0x1_2346), 0).command(Step.PTE_LOCK, addr=world.TABLE)
    old = s.memory[world.entry_of(0x1_2346)]
    stream.command(Step.PTE_CLEAR, space=1, vpn=0x1_2346, addr=world.entry_of(0x1_2346), data=old).command(Step.PTE_UNLOCK, addr=world.TABLE)
    stream.command(Step.INVALIDATE, space=1, vpn=0x1_2346, data=1).end_section()
    assert difference(world, stream, {**s.memory, world.entry_of(0x1_2346): 0}) is None


def test_a_slot_that_changes_while_it_is_read_may_be_either(run, world):
    """LOCKED between the walk and AROUND: the engine may have seen it before or after."""
    for mask in (0xFFD0, 0xFF90):
        stream, s = run(*RUNS["load"](world))
        stream.insert(Step.R10, lambda t: t.write(slot_of(world, 0x1_2346), slot_word(0x1_2346, MAPPABLE | 4)))
        stream.change(Step.AROUND, data=mask)
        entry = {} if mask >> 6 & 1 else {world.entry_of(0x1_2346): 0}
        assert difference(world, stream, {**s.memory, **entry}) is None


@pytest.mark.parametrize(
    ("name", "step", "frame"), [("copy", Step.FLUSH, 0xA00), ("shared", Step.FLUSH, None), ("table", Step.TABLE, None), ("store", Step.FILL, 0xA00)]
)
def test_bus_errors_end_the_fault(run, world, name, step, frame):
    """The frame comes back unless the entry may map it."""
    stream, s = run(*RUNS[name](world))
    at = stream.index(step)
    address = stream.calls[at][2].addr
    del stream.calls[at + 1 :]
    stream.change(step, outcome=Outcome.BUS_ERROR).undo(Outcome.BUS_ERROR, frame=frame)
    stream.event(Step.HANDOVER, outcome=Outcome.BUS_ERROR).event(Step.ANSWER, outcome=Outcome.BUS_ERROR, data=Status.RETRY)
    stream.answer(status=Status.RETRY, how=How.SOFTWARE, reason=Outcome.BUS_ERROR)
    memory = {**s.memory, address: 0, world.entry_of(world.PAGE): s.memory[world.entry_of(world.PAGE)] if name == "shared" else 0}
    assert difference(world, stream, memory, bus_errors=True) is None
    assert "BUS_ERROR although" in difference(world, stream, memory)
