"""The functional engine and the page cache, copy on write, tables of the engine, fault-around; the checker agrees with what it does."""

import pytest

from seqfault_golden import Access, How, Outcome, Status, Step
from seqfault_golden.layout import VmaFlag

from .test_replay_world import SPACE_TABLE, SPACE_VMAS, Surroundings

READ_WRITE = VmaFlag.READ | VmaFlag.WRITE
SHARED = READ_WRITE | VmaFlag.SHARED
ROOT_NODE, FIRST_NODE, SECOND_NODE = 0x30_0000, 0x30_0200, 0x30_0400
PGOFF = 60
"""The VMA's page 4 is the first in the second lowest node."""
FILE_FRAMES = 0xC00
MAPPABLE, WRITABLE, LOCKED = 3, 8, 4
EXCLUSIVE, UFFD_WP = 0x100, 0x200
RETRY, ATOMIC = 1, 8
CREATE = [(0, 0), (1, 2), (3, 6), (7, 7)]
LOCK = [(10, 12), (13, 13), (14, 15)]


def slot_of(world, vpn):
    """Byte address of a page's slot."""
    index = PGOFF + vpn - 0x1_2340
    return (FIRST_NODE, SECOND_NODE)[index >> 6] + (index & 63) * 8


def slot_word(vpn, bits=MAPPABLE):
    return FILE_FRAMES + (vpn & 0xFF) << 10 | bits


def shows_file(world, flags, pages=(), prot=0x17, bits=MAPPABLE):
    """Writes that make the VMA show a file, of which these pages are in the cache."""
    return [
        (world.RECORD + 16, flags), (world.RECORD + 24, prot), (world.RECORD + 32, PGOFF), (world.RECORD + 40, ROOT_NODE | 2),
        (ROOT_NODE, FIRST_NODE | 1), (ROOT_NODE + 8, SECOND_NODE | 1), *((slot_of(world, vpn), slot_word(vpn, bits)) for vpn in pages),
    ]  # fmt: skip


@pytest.fixture
def around(stream, world):
    """The world of `conftest`, with changes."""

    def make(changes=(), **engine):
        s = Surroundings(world, **engine)
        for address, value in [call[2:] for call in stream.calls if call[0] == "write"] + list(changes):
            s.software_write(address, value)
        s.commands += [(SPACE_TABLE | 1 << 12, world.SATP), (SPACE_VMAS | 1 << 12, world.NODE | 1)]
        assert s.run() == 2
        return s

    return make


def fault(s, world, vpn=None, access=Access.LOAD, flags=RETRY):
    """One fault to its end; its answer."""
    s.request(world.PAGE if vpn is None else vpn, access, flags=flags)
    s.run()
    return s.answers[-1]


def entry(s, world, vpn=None):
    return s.memory.get(world.entry_of(world.PAGE if vpn is None else vpn), 0)


def agreed(s):
    assert s.finished(), s.checker.first_difference
    return True


def test_a_load_maps_the_pages_of_its_window(around, world):
    """Those in the cache, in the VMA and in the same node; page 0x1_2342 is in the node before."""
    pages = [*range(0x1_2340, 0x1_2350), 0x1_2350]
    s = around([*shows_file(world, READ_WRITE, pages), (slot_of(world, 0x1_234A), slot_word(0x1_234A, MAPPABLE | LOCKED))])
    assert fault(s, world)[1:4] == (Status.OK, How.SPECULATIVE, Outcome.OK)
    assert s.shape() == [*CREATE, (24, 24), (8, 9), *LOCK, (16, 17), (28, 28), (18, 18)]
    assert s.events[-2].data == sum(1 << page for page in range(4, 16) if page not in (5, 10))
    for vpn in pages:
        mapped = 0x1_2344 <= vpn < 0x1_2350 and vpn != 0x1_234A
        assert entry(s, world, vpn) == (FILE_FRAMES + (vpn & 0xFF) << 10 | 0x53 if mapped else 0)
    assert len(s.frames) == len(world.FRAMES)
    assert agreed(s)


@pytest.mark.parametrize("flags", [VmaFlag.UFFD, VmaFlag.UFFD_WP])
def test_no_fault_around_with_userfaults(around, world, flags):
    s = around(shows_file(world, READ_WRITE | flags, range(0x1_2344, 0x1_2350)))
    fault(s, world)
    assert sum(bool(entry(s, world, vpn)) for vpn in range(0x1_2340, 0x1_2350)) == 1
    assert agreed(s)


def test_no_fault_around_for_atomic(around, world):
    s = around(shows_file(world, READ_WRITE, range(0x1_2344, 0x1_2350)))
    fault(s, world, flags=RETRY | ATOMIC)
    assert sum(bool(entry(s, world, vpn)) for vpn in range(0x1_2340, 0x1_2350)) == 1
    assert agreed(s)


def test_a_store_to_a_private_file_copies_the_slots_frame(around, world):
    s = around(shows_file(world, READ_WRITE, [world.PAGE]))
    fault(s, world, access=Access.STORE)
    assert s.shape() == [*CREATE, (24, 24), (8, 9), (25, 25), *LOCK, (16, 17), (18, 18)]
    assert s.moved == [(FILE_FRAMES + 0x45, world.FRAMES[0])]
    assert entry(s, world) == world.pte_of(world.FRAMES[0])
    assert agreed(s)


def test_a_store_to_a_shared_file_needs_writable(around, world):
    s = around(shows_file(world, SHARED, [world.PAGE]))
    assert fault(s, world, access=Access.STORE)[3] == Outcome.NOT_WRITABLE
    s.software_write(slot_of(world, world.PAGE), slot_word(world.PAGE, MAPPABLE | WRITABLE))
    assert fault(s, world, access=Access.STORE)[1] == Status.OK
    assert entry(s, world) == FILE_FRAMES + 0x45 << 10 | 0xD7
    assert agreed(s)


def test_a_shared_page_that_was_loaded_becomes_writable_in_place(around, world):
    s = around(shows_file(world, SHARED, [world.PAGE], bits=MAPPABLE | WRITABLE))
    fault(s, world)
    s.events.clear()
    fault(s, world, access=Access.STORE)
    assert s.shape() == [*CREATE, (24, 24), (8, 9), *LOCK, (16, 17), (27, 27), (18, 18)]
    assert entry(s, world) == FILE_FRAMES + 0x45 << 10 | 0xD7
    assert agreed(s)


def test_copy_on_write_is_cleared_flushed_and_set(around, world):
    """A page of a file that was loaded: its frame goes to the released ring."""
    s = around(shows_file(world, READ_WRITE, [world.PAGE]))
    fault(s, world)
    old = entry(s, world)
    s.events.clear()
    fault(s, world, access=Access.STORE)
    assert s.shape() == [*CREATE, (8, 9), (25, 25), *LOCK, (26, 26), (27, 27), (17, 17), (18, 18)]
    assert s.released == [(old, 1, world.PAGE)]
    assert entry(s, world) == world.pte_of(world.FRAMES[0])
    assert agreed(s)


def test_the_zero_frame_is_replaced_and_not_released(around, world):
    s = around()
    fault(s, world)
    s.events.clear()
    fault(s, world, access=Access.STORE)
    assert s.shape() == [*CREATE, (8, 9), *LOCK, (26, 26), (27, 27), (17, 17), (18, 18)]
    assert (s.released, s.moved) == ([], [])
    assert agreed(s)


def test_no_room_for_the_old_frame(around, world):
    s = around(shows_file(world, READ_WRITE, [world.PAGE]))
    fault(s, world)
    s.room = 0  # for page requests too
    assert fault(s, world, access=Access.STORE)[3] == Outcome.QUEUE_FULL
    assert Outcome.RELEASED_FULL in [event.outcome for event in s.events]
    assert entry(s, world) == FILE_FRAMES + 0x45 << 10 | 0x53
    assert agreed(s)


def test_an_exclusive_frame_is_written_in_place(around, world):
    """Also after its right to write was taken away, and with what software keeps in bit 9."""
    s = around([(world.entry_of(world.PAGE), 0xD00 << 10 | 0x53 | EXCLUSIVE | UFFD_WP)])
    fault(s, world, access=Access.STORE)
    assert s.shape() == [*CREATE, (8, 9), *LOCK, (16, 17), (27, 27), (18, 18)]
    assert entry(s, world) == 0xD00 << 10 | 0xD7 | EXCLUSIVE | UFFD_WP
    assert agreed(s)


def test_a_load_sets_a_missing_a_and_takes_nothing(around, world):
    s = around([(world.entry_of(world.PAGE), 0xD00 << 10 | 0x13)])
    fault(s, world)
    assert entry(s, world) == 0xD00 << 10 | 0x53
    assert len(s.frames) == len(world.FRAMES)
    assert agreed(s)


@pytest.mark.parametrize(
    ("flags", "changes", "access", "outcome"),
    [
        (READ_WRITE, {}, Access.LOAD, Outcome.NOT_CACHED),
        (READ_WRITE, {"slot": 0x300005}, Access.LOAD, Outcome.NOT_CACHED),
        (READ_WRITE, {"slot": 0x300007}, Access.LOAD, Outcome.PAGE_BUSY),
        (READ_WRITE, {"backing": ROOT_NODE | 1}, Access.LOAD, Outcome.NOT_CACHED),
        (READ_WRITE, {"backing": 0}, Access.LOAD, Outcome.NOT_CACHED),
        (READ_WRITE, {"inner": SECOND_NODE}, Access.LOAD, Outcome.NOT_CACHED),
        (READ_WRITE, {"backing": ROOT_NODE | 9}, Access.LOAD, Outcome.BAD_TREE),
        (READ_WRITE | VmaFlag.UFFD, {}, Access.LOAD, Outcome.USERFAULT),
        (READ_WRITE | VmaFlag.UFFD_MINOR, {"slot": 0x300003}, Access.LOAD, Outcome.USERFAULT),
        (READ_WRITE | VmaFlag.UFFD_MINOR, {}, Access.LOAD, Outcome.NOT_CACHED),
        (READ_WRITE | VmaFlag.UFFD_WP, {"entry": 0x200253, "slot": 0x300003}, Access.STORE, Outcome.USERFAULT),
        (SHARED, {"entry": 0x200053, "slot": 0x30000B}, Access.STORE, Outcome.PRESENT),
        (SHARED, {"entry": 0x300053, "slot": 0x300003}, Access.STORE, Outcome.NOT_WRITABLE),
        (SHARED, {"entry": 0x300053}, Access.STORE, Outcome.NOT_CACHED),
    ],
)
def test_what_is_softwares(around, world, flags, changes, access, outcome):
    at = {"slot": slot_of(world, world.PAGE), "backing": world.RECORD + 40, "inner": ROOT_NODE + 8, "entry": world.entry_of(world.PAGE)}
    s = around([*shows_file(world, flags), *((at[name], value) for name, value in changes.items())])
    assert fault(s, world, access=access) == (1, Status.RETRY, How.SOFTWARE, outcome, 0)
    assert agreed(s)


@pytest.mark.parametrize(
    ("flags", "changes", "access", "outcome"),
    [
        (READ_WRITE, "slot", Access.STORE, Outcome.PRESENT),
        (READ_WRITE, "entry", Access.STORE, Outcome.PRESENT),
        (READ_WRITE, "table", Access.LOAD, Outcome.NO_TABLE),
    ],
)
def test_what_atomic_does_not_do(around, world, flags, changes, access, outcome):
    change = {
        "slot": (slot_of(world, world.PAGE), 0x300003),
        "entry": (world.entry_of(world.PAGE), 0x300053),
        "table": ((world.MIDDLE << 12) + (world.PAGE >> 9 & 511) * 8, 0),
    }[changes]
    s = around([*shows_file(world, flags), change])
    assert fault(s, world, access=access, flags=RETRY | ATOMIC)[1:4] == (Status.FAULT, How.TRANSLATED, outcome)
    assert agreed(s)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("unzeroed", [False, True])
def test_missing_tables_are_made(around, world, levels, unzeroed):
    upper = [(world.MIDDLE << 12) + (world.PAGE >> 9 & 511) * 8, (world.ROOT << 12) + (world.PAGE >> 18 & 511) * 8][levels - 1]
    s = around([(upper, 0)])
    s.engine.world.unzeroed = s.checker.state.unzeroed = unzeroed
    assert fault(s, world, access=Access.STORE)[1] == Status.OK
    zeroed = [(25, 25)] * unzeroed
    make = [(7, 7), (8, 9), *zeroed, *LOCK, (16, 17), (29, 29)]
    assert s.shape() == [*CREATE[:3], *make * levels, (7, 7), (8, 9), *zeroed, *LOCK, (16, 17), (18, 18)]
    assert s.memory[upper] == world.FRAMES[0] << 10 | 1
    assert s.moved == [(None, frame) for frame in world.FRAMES[: levels + 1]] * unzeroed
    assert len(s.frames) == len(world.FRAMES) - levels - 1
    assert agreed(s)


@pytest.mark.parametrize("seed", range(20))
def test_two_faults_make_one_table(around, world, seed):
    upper = (world.MIDDLE << 12) + (world.PAGE >> 9 & 511) * 8
    s = around([(upper, 0)], seed=seed)
    s.request(world.PAGE, tag=1)
    s.request(world.PAGE + 1, tag=2)
    s.run()
    assert [answer[1] for answer in s.answers] == [Status.OK, Status.OK]
    assert sum(event.first == Step.TABLE for event in s.events) == 1
    assert len(s.frames) + len(s.engine.world.spare) == len(world.FRAMES) - 3
    assert agreed(s)


@pytest.mark.parametrize("seed", range(20))
def test_faults_of_one_window_and_copies_on_write(around, world, seed):
    s = around(shows_file(world, READ_WRITE, range(0x1_2344, 0x1_2350)), seed=seed)
    for tag, (vpn, access) in enumerate(((0x1_2345, Access.LOAD), (0x1_2346, Access.STORE), (0x1_2347, Access.LOAD), (0x1_2345, Access.STORE))):
        s.request(vpn, access, tag=tag)
    s.run()
    assert {answer[1] for answer in s.answers} == {Status.OK}
    assert entry(s, world, 0x1_2345) & EXCLUSIVE
    assert entry(s, world, 0x1_2346) & EXCLUSIVE
    assert agreed(s)


def test_a_frame_that_was_copied_into_is_only_copied_into_again(around, world):
    """Of two stores to one page of a file the slower one gives its frame back; anonymous memory gets another."""
    anonymous = [(world.READ_ONLY_RECORD + 16, 0x13), (world.READ_ONLY_RECORD + 24, 0x17)]
    returned = 0
    for seed in range(20):
        s = around([*shows_file(world, READ_WRITE, [world.PAGE, world.PAGE + 1]), *anonymous], seed=seed)
        s.request(world.PAGE, tag=1)
        s.request(world.PAGE, tag=2)
        s.run()
        used = list(s.engine.world.used)
        fault(s, world, world.READ_ONLY_PAGE, Access.STORE)
        assert s.engine.world.used == used
        fault(s, world, world.PAGE + 1, Access.STORE)
        assert s.engine.world.used == []
        assert (entry(s, world, world.PAGE + 1) >> 10 in used) == bool(used)
        returned += len(used)
        assert agreed(s)
    assert returned
