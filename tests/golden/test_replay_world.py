"""The functional engine on plain memory: every way through a fault, the commands, turns; and the checker agrees with what it does."""

from collections import deque

import pytest

from seqfault_golden import Access, Checker, How, Outcome, Safeguard, Status, Step
from seqfault_golden.replay import Engine, Request

POOL = 1 << 63
SPACES = 4
WHOLE_FAULT = [(0, 0), (1, 2), (3, 6), (7, 7), (8, 9), (10, 12), (13, 13), (14, 15), (16, 17), (18, 18)]
MM_LOCK, MM_UNLOCK, SEQ_BEGIN, SEQ_END, ZAP, PROTECT, SPACE_TABLE, SPACE_VMAS = (
    opcode | func3 << 7 for opcode in (66, 64, 65, 67) for func3 in (0, 1)
)  # fmt: skip
IOTINVAL, IOFENCE, PR = 1, 2, 1 << 12


class Surroundings:
    """[Outside] Rings are lists. A checker sees everything that the engine and its software do."""

    def __init__(self, world, **engine):
        self.memory, self.commands, self.refused, self.requested, self.released, self.answers = {}, deque(), [], [], [], []
        self.frames = deque(world.FRAMES)
        self.moved = []
        self.room = 100
        self.events = []
        self.engine = Engine(self, self.observe, spaces=SPACES, contexts=4, **engine)
        self.engine.world.zero_frame = world.ZERO_FRAME
        self.checker = Checker(spaces=SPACES, contexts=4, sequence_entries=256, zero_frame=world.ZERO_FRAME, initial_free_frames=world.FRAMES)

    def observe(self, event):
        self.events.append(event)
        self.checker.event(self.engine.turns, event)

    def software_write(self, address, value):
        self.checker.software_write(self.engine.turns, address, value)
        self.memory[address] = value

    def request(self, vpn, access=Access.STORE, tag=1, space=1, flags=1):
        request = Request(0, tag, vpn << 12 | 0x28, space, access, flags)
        self.checker.request(self.engine.turns, *request)
        assert self.engine.begin(request)

    def run(self, turns=10_000):
        """Turns until nobody can go on; returns how many there were."""
        taken = 0
        while taken < turns and self.engine.turn():
            taken += 1
        return taken

    def shape(self, agent=0):
        return [(event.first, event.last) for event in self.events if event.agent == agent]

    def finished(self):
        self.checker.finish(self.read)
        return self.checker.agreed

    # --- Outside ----------------------------------------------------------------------------------------------------

    def read(self, address):
        return self.memory.get(address, 0)

    def write(self, address, value):
        self.memory[address] = value

    def next_command(self):
        return None if self.refused or not self.commands else self.commands[0]

    def command_done(self, interrupts):
        self.commands.popleft()

    def command_refused(self, reason):
        self.refused.append(reason)

    def offered_frame(self):
        return self.frames[0] if self.frames else None

    def consume_frame(self):
        self.frames.popleft()

    def has_room_for_released(self):
        return len(self.released) < self.room

    def put_released(self, entry, space, vpn):
        self.released.append((entry, space, vpn))

    def copy_page(self, source, frame):
        self.moved.append((source, frame))

    def zero_page(self, frame):
        self.moved.append((None, frame))

    def put_page_request(self, context):
        if len(self.requested) == self.room:
            return Outcome.QUEUE_FULL
        self.requested.append(context.reason)
        return Outcome.OK

    def committed(self, context):
        pass

    def ended(self, context, status, how, reason, pa):
        port, tag = context.request.port, context.request.tag
        self.answers.append((tag, status, how, reason, pa))
        self.checker.answer(self.engine.turns, port, tag, status, how, reason, pa)


@pytest.fixture
def around(stream, world):
    """The world of `conftest`, with changes, set up by software and by commands."""

    def make(changes=(), **engine):
        surroundings = Surroundings(world, **engine)
        for address, value in [call[2:] for call in stream.calls if call[0] == "write"] + list(changes):
            surroundings.software_write(address, value)
        surroundings.commands += [(SPACE_TABLE | 1 << 12, world.SATP), (SPACE_VMAS | 1 << 12, world.NODE | 1)]
        assert surroundings.run() == 2
        return surroundings

    return make


def test_a_store_takes_every_step_once_and_commits(around, world):
    s = around()
    s.request(world.PAGE)
    assert s.run() == len(WHOLE_FAULT)
    assert s.shape() == WHOLE_FAULT
    assert s.memory[world.entry_of(world.PAGE)] == world.pte_of(world.FRAMES[0])
    assert s.answers == [(1, Status.OK, How.SPECULATIVE, Outcome.OK, world.FRAMES[0] << 12 | 0x28)]
    assert s.finished(), s.checker.first_difference


def test_a_load_maps_the_zero_frame_and_takes_none(around, world):
    s = around()
    s.request(world.PAGE, Access.LOAD)
    s.run()
    assert s.memory[world.entry_of(world.PAGE)] == world.pte_of(world.ZERO_FRAME, store=False)
    assert len(s.frames) == len(world.FRAMES)
    assert s.finished(), s.checker.first_difference


@pytest.mark.parametrize(
    ("change", "page", "access", "outcome"),
    [
        (lambda w: (), 0x1_2000, Access.STORE, Outcome.NO_VMA),
        (lambda w: (), 0x1_23C5, Access.STORE, Outcome.BOUNDS),
        (lambda w: (), 0x1_2380, Access.STORE, Outcome.ACCESS),
        (lambda w: (), 0x1_2345, Access.FETCH, Outcome.ACCESS),
        (lambda w: (), 0x1_2346, Access.STORE, Outcome.POOL_EMPTY),
        (lambda w: [(w.NODE + 8, w.NODE | 1)], 0x1_2345, Access.STORE, Outcome.BAD_TREE),
        (lambda w: [(w.RECORD + 16, w.FLAGS | 0x20)], 0x1_2345, Access.STORE, Outcome.UNSUPPORTED),
        (lambda w: [(w.RECORD + 16, w.FLAGS | 0x100)], 0x1_2345, Access.STORE, Outcome.HUGE),
        (lambda w: [(w.RECORD + 16, w.FLAGS | 8)], 0x1_2345, Access.STORE, Outcome.NOT_CACHED),
        (lambda w: [(w.RECORD + 16, w.FLAGS | 0x40)], 0x1_2345, Access.STORE, Outcome.USERFAULT),
        (lambda w: [((w.MIDDLE << 12) + (w.PAGE >> 9 & 511) * 8, 0x1D3)], 0x1_2345, Access.STORE, Outcome.HUGE),
        (lambda w: [(w.entry_of(w.PAGE), 0x100)], 0x1_2345, Access.STORE, Outcome.PRESENT),
        (lambda w: [(w.entry_of(w.PAGE), 0x5)], 0x1_2345, Access.STORE, Outcome.BAD_TABLE),
    ],
)
def test_what_it_cannot_serve_is_handed_over(around, world, change, page, access, outcome):
    s = around(change(world))
    if outcome == Outcome.POOL_EMPTY:
        s.frames.clear()
    s.request(page, access)
    s.run()
    assert s.requested == [outcome]
    assert s.answers == [(1, Status.RETRY, How.SOFTWARE, outcome, 0)]
    assert s.shape()[-3:] == [(Step.UNDO,) * 2, (Step.HANDOVER,) * 2, (Step.ANSWER,) * 2]
    assert s.engine.world.taken == {}
    assert s.finished(), s.checker.first_difference


def test_a_full_page_request_queue_is_the_answer(around, world):
    s = around()
    s.room = 0
    s.request(0x1_2000)
    s.run()
    assert [answer[3] for answer in s.answers] == [Outcome.QUEUE_FULL]
    assert s.finished(), s.checker.first_difference


@pytest.mark.parametrize("seed", range(20))
def test_two_faults_of_one_page_commit_once(around, world, seed):
    """Whatever the order: the slower one finds the page mapped, or finds its entry changed and then the page mapped."""
    s = around(seed=seed)
    s.request(world.PAGE, tag=1)
    s.request(world.PAGE, tag=2)
    s.run()
    assert sum(event.first == Step.R18 for event in s.events) == 1
    assert sorted(answer[1] for answer in s.answers) == [Status.OK, Status.OK]
    assert len({answer[4] for answer in s.answers}) == 1
    assert len(s.frames) + len(s.engine.world.spare) == len(world.FRAMES) - 1
    assert s.finished(), s.checker.first_difference


def test_the_seed_decides_the_order_and_nothing_else_does(around, world):
    def events(seed):
        s = around(seed=seed)
        for tag in range(4):
            s.request(world.PAGE + tag, tag=tag)
        s.run()
        assert s.finished(), s.checker.first_difference
        return s.events

    assert events(3) == events(3)
    assert len({tuple(events(seed)) for seed in range(6)}) > 3


def test_a_fence_waits_for_the_attempts_before_it_and_for_no_later_ones(around, world):
    s = around()
    s.request(world.PAGE)
    s.run(turns=3)
    s.commands.append((IOFENCE | PR, 0))
    while not s.engine.world.fenced:
        assert s.engine.turn()
    s.request(world.PAGE + 1, tag=2)
    s.run()
    at = [(event.first, event.agent) for event in s.events]
    assert at.index((Step.R18, 0)) < at.index((Step.FENCE, 63)) < at.index((Step.R18, 1))
    assert s.finished(), s.checker.first_difference


def section(world, *commands):
    """A section of the VMA, then all that it did is invalidated."""
    return [
        (MM_LOCK | 1 << 12, 0), (SEQ_BEGIN | 1 << 12, world.VMA), *commands, (IOTINVAL | 1 << 12 | 1 << 32, 0),
        (SEQ_END | 1 << 12, world.VMA), (MM_UNLOCK | 1 << 12, 0),
    ]  # fmt: skip


def test_zap_removes_and_waits_for_room(around, world):
    s = around()
    for tag in range(3):
        s.request(world.PAGE + tag, tag=tag)
    s.run()
    s.room = 2
    s.commands += section(world, (ZAP | 1 << 12 | 64 << 32, world.PAGE & ~63))
    s.run()
    assert len(s.released) == 2
    assert s.engine.waiting() == ["the command unit waits: the released ring is full"]
    s.room = 3
    s.run()
    assert sorted(vpn for _, _, vpn in s.released) == [world.PAGE, world.PAGE + 1, world.PAGE + 2]
    assert not any(s.memory[world.entry_of(world.PAGE + tag)] for tag in range(3))
    assert not s.commands
    assert s.finished(), s.checker.first_difference


def test_protect_replaces_the_rights(around, world):
    s = around()
    s.request(world.PAGE)
    s.run()
    s.commands += section(world, (PROTECT | 1 << 12 | 1 << 28 | 1 << 32, world.PAGE))
    s.run()
    assert s.memory[world.entry_of(world.PAGE)] == world.pte_of(world.FRAMES[0]) & ~4
    assert s.finished(), s.checker.first_difference


@pytest.mark.parametrize("seed", range(30))
def test_a_fault_against_a_writer_is_retried_or_was_first(around, world, seed):
    """A section while the fault runs: whichever order, every step is allowed, and in the end the page is gone or committed after the section."""
    s = around(seed=seed)
    s.request(world.PAGE)
    s.commands += section(world, (ZAP | 1 << 12 | 1 << 32, world.PAGE))
    s.run()
    ((_, status, how, _, _),) = s.answers
    assert status == Status.OK
    assert how in (How.SPECULATIVE, How.RETRIED, How.CLASSIC)
    mapped = bool(s.memory.get(world.entry_of(world.PAGE)))
    assert mapped == (not s.released)
    assert s.finished(), s.checker.first_difference


def test_who_waits_too_long_for_the_mm_lock_is_handed_over(around, world):
    s = around(mm_lock_patience=50)
    s.engine.world.policy = s.checker.state.policy = "mm-lock"
    s.commands.append((MM_LOCK | 1 << 12, 0))
    s.run()
    s.request(world.PAGE)
    s.run()
    assert s.answers == []
    assert s.engine.waiting() == ["context 0 is to do MM_READ_LOCK"]
    s.engine.wait_until(s.engine.wakes_at())
    s.run()
    assert [answer[3] for answer in s.answers] == [Outcome.MM_BUSY]
    s.commands.append((MM_UNLOCK | 1 << 12, 0))
    s.request(world.PAGE, tag=2)
    s.run()
    assert s.answers[-1][2] == How.CLASSIC
    assert s.finished(), s.checker.first_difference


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((99, 0), "unknown command"),
        ((MM_UNLOCK | 1 << 12, 0), "MM_UNLOCK of space 1, which is not locked"),
        ((MM_LOCK | 9 << 12, 0), "there is no space 9"),
        ((MM_LOCK | 1 << 12 | 1 << 31, 0), "reserved bits"),
        ((SEQ_BEGIN | 1 << 12, 5), "SEQ_BEGIN without the mm lock of space 1"),
        ((ZAP | 1 << 12 | 1 << 32, 5), "ZAP without the mm lock of space 1"),
        ((PROTECT | 1 << 12 | 1 << 28 | 1 << 32, 5), "PROTECT without the mm lock of space 1"),
        ((SPACE_TABLE | 1 << 12 | 1 << 28, 8 << 60), "does not set A and D"),
        ((SPACE_TABLE | 1 << 12, 7 << 60), "SPACE.TABLE with"),
        ((IOFENCE | 1 << 10, 1), "cannot write at 0x4"),
        ((IOTINVAL | 1 << 11, 0), "reserved bits"),
    ],
)
def test_an_illegal_command_stops_the_queue(around, words, reason):
    s = around()
    s.commands += [words, (MM_LOCK | 1 << 12, 0)]
    s.run()
    assert len(s.refused) == 1
    assert reason in s.refused[0]
    assert (s.events[-1].first, s.events[-1].data) == (Step.ILLEGAL, words[0])
    assert len(s.commands) == 2


@pytest.mark.parametrize("rights", [0, 2, 6])
def test_protect_that_leaves_no_valid_leaf_is_illegal(around, world, rights):
    s = around()
    s.commands += [(MM_LOCK | 1 << 12, 0), (PROTECT | 1 << 12 | rights << 28 | 1 << 32, world.PAGE)]
    s.run()
    assert s.refused == [f"PROTECT with rights {rights}"]


@pytest.mark.parametrize(
    ("word1", "first", "pages"),
    [(0x123 << 10, 0x123, 1), (0x120 << 10 | 1 << 9, 0x120, 2), (0x121 << 10 | 1 << 9, 0x120, 4), (0x123 << 10 | 1 << 9, 0x120, 8)],
)
def test_invalidated_ranges(around, word1, first, pages):
    """ "ADDR ...0 = 2 pages, ...01 = 4 pages, ...011 = 8" """
    s = around()
    s.commands.append((IOTINVAL | 1 << 10 | 1 << 12 | 1 << 32, word1))
    s.run()
    event = s.events[-1]
    assert (event.first, event.space, event.vpn, event.data) == (Step.INVALIDATE, 1, first, pages)


def test_a_missing_undo_is_noticed(around, world):
    """Guard of the guard: the engine without its safeguard keeps the frame, and says so."""
    seen = set()
    for seed in range(20):
        s = around(seed=seed, removed=frozenset({Safeguard.UNDO}))
        s.request(world.PAGE, tag=1)
        s.request(world.PAGE, tag=2)
        s.run()
        s.finished()
        seen.add((s.checker.first_difference or "").partition("not allowed: ")[2].split(" frame")[0])
    assert "UNDO leaks" in seen
