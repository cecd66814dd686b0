"""Everything around a CommandUnit: queue registers, memory, walker, locks, tables, released ring, SRCU, ports, each with random delays."""

from collections import deque
from random import Random

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from seqfault_rtl.messages import Event, InvalidateRecord, PageResponse, QueueSettings, ReleasedRecord, WalkRequest, WalkResponse
from seqfault_rtl.srcu_call import SrcuCall

from .command_model import PAGE, STEP, CommandModel, PageTables
from .fields import pack, unpack
from .memory_ports import ReadResponder, WordMemory, WriteResponder

__all__ = ["CommandBench"]

SETTLE_NS = 1
PATIENCE = 60000
"""Cycles in which posted commands must be executed."""
QUEUE_BASE = 0x8000_0000
PAGE_SIZE_OF_LEVEL = (0, 2, 4, 5)
"""`PageSize` of a leaf at a level, in numbers."""


class CommandBench:
    """One CommandUnit, driven cycle by cycle; checks on the way that locks, grants and visibility are as the contract says.

    Parameters
    ----------
    spaces, chunk, contexts, walks, ports : the unit's configuration. log2_entries : size of the queue.
    """

    def __init__(self, dut, rng: Random, *, spaces: int, chunk: int, contexts: int, walks: int, ports: int, log2_entries: int = 4) -> None:
        self.dut, self.rng = dut, rng
        self.memory = WordMemory()
        self.tables = PageTables(self.memory.words, rng)
        self.model = CommandModel(tables=self.tables, spaces=spaces, chunk=chunk, ports=ports)
        self.read = ReadResponder(dut, "read", self.memory, rng)
        self.write = WriteResponder(dut, "write", self.memory, rng, observe=self._visible)
        self.size, self.log2_entries = 1 << log2_entries, log2_entries
        self.contexts, self.walks, self.ports = contexts, walks, ports
        self.tail = 0
        self.stop = False
        self.posted: deque[tuple[int, int]] = deque()
        self.events: list[dict[str, int]] = []
        self.released: list[tuple[int, int, int]] = []
        self.records: list[dict[str, int]] = []
        self.lines: list[tuple[int, int]] = []
        self.calls: list[tuple[int, int]] = []
        self.responses: list[tuple[int, int, int]] = []
        self.errors: list[str] = []
        self.interrupts = 0
        self.roots: dict[tuple[str, int], int] = {}
        self.writers: dict[int, int] = {}
        self.generations: dict[int, int] = {}
        self.mm_writers: set[int] = set()
        self.mm_readers: dict[int, int] = {}
        self.held_by_others: set[int] = set()
        self.own_lock: int | None = None
        self.changes: dict[int, int] = {}
        self.unseen: set[int] = set()
        self.walks_waiting: deque[dict[str, int]] = deque()
        self.walk_offered = False
        self.failing_walks = 0
        self.grant, self.room = 0.6, 0.5
        self.pinned = self.walking = 0
        self.released_idle = True
        self.readers_come = self.others_lock = 0.05
        self.unread = 0.5

    async def start(self) -> None:
        dut = self.dut
        Clock(dut.clk, 10, unit="ns").start()
        for name in (
            "slot__grant", "stop", "tail", "queue", "read__request__ready", "read__response__valid", "write__request__ready",
            "write__response__valid", "walk_request__ready", "walk_response__valid", "released__ready", "lock_busy", "mm_free", "mm_held",
            "srcu_call__ready", "srcu_refused",
        ):  # fmt: skip
            getattr(dut, name).value = 0
        dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(dut.clk)
        dut.rst.value = 0
        self.enable()

    def enable(self) -> None:
        """Turn the queue on."""
        self.dut.queue.value = pack(QueueSettings, {"base": QUEUE_BASE // PAGE, "log2_entries": self.log2_entries, "enable": 1})

    def slot_address(self, index: int) -> int:
        return QUEUE_BASE + 16 * (index % self.size)

    def put(self, index: int, command: tuple[int, int]) -> None:
        """Write a command into the ring."""
        self.memory[self.slot_address(index)], self.memory[self.slot_address(index) + 8] = command

    @property
    def head(self) -> int:
        return int(self.dut.head.value)

    # --- one cycle

    async def cycle(self) -> None:
        """One clock cycle."""
        dut, rng = self.dut, self.rng
        await FallingEdge(dut.clk)
        while self.posted and (self.tail - self.head) % self.size < self.size - 1:
            self.put(self.tail, self.posted.popleft())
            self.tail = (self.tail + 1) % self.size
        self._others()
        dut.tail.value, dut.stop.value = self.tail, self.stop
        dut.slot__grant.value = rng.random() < self.grant
        dut.released__ready.value = rng.random() < self.room
        dut.pinned.value, dut.walking.value, dut.released_idle.value = self.pinned, self.walking, self.released_idle
        self._drive_walker()
        self.read.drive()
        self.write.drive()
        await Timer(SETTLE_NS, unit="ns")
        space, table, vma_id = int(dut.mm_space.value), int(dut.lock_table.value) * PAGE, int(dut.sequence_id.value)
        unread, self.sweeping = rng.random() < self.unread, rng.random() < 0.3
        dut.invalidating.value = self.sweeping
        dut.mm_held.value = space in self.mm_writers
        dut.mm_free.value = space not in self.mm_writers and not self.mm_readers.get(space)
        dut.lock_busy.value = table in self.held_by_others
        dut.sequence_idle.value = not self.writers.get(vma_id)
        dut.sequence_unread.value = unread
        await Timer(SETTLE_NS, unit="ns")
        dut.sequence_next.value = self._following(vma_id)
        called = unpack(SrcuCall, int(dut.srcu_call__payload.value))
        dut.srcu_refused.value = called["cookie"] & 1 if dut.srcu_call__valid.value else rng.random() < 0.5
        await Timer(SETTLE_NS, unit="ns")
        self._sample(space, table, vma_id, unread)

    def _others(self) -> None:
        """Fault contexts lock tables and take the mm lock as readers."""
        rng = self.rng
        tables = [table for leaves in self.tables.leaves.values() for table in leaves.values()]
        if tables and rng.random() < self.others_lock:
            self.held_by_others |= {rng.choice(tables)} - {self.own_lock}
        if self.held_by_others and rng.random() < 0.1:
            self.held_by_others.discard(rng.choice(sorted(self.held_by_others)))
        claimed = int(self.dut.mm_space.value) if self.dut.mm_claim.value else None
        space = rng.randrange(4)
        if rng.random() < self.readers_come and space != claimed and space not in self.mm_writers:
            self.mm_readers[space] = self.mm_readers.get(space, 0) + 1
        space = rng.randrange(4)
        if rng.random() < 0.1 and self.mm_readers.get(space):
            self.mm_readers[space] -= 1

    def _drive_walker(self) -> None:
        dut = self.dut
        dut.walk_request__ready.value = self.rng.random() < 0.5
        if self.walks_waiting and not self.walk_offered and self.rng.random() < 0.3:
            self.walk_offered = True
            dut.walk_response__payload.value = pack(WalkResponse, self.walks_waiting[0])
        dut.walk_response__valid.value = self.walk_offered

    def _following(self, vma_id: int) -> int:
        begin, end = int(self.dut.sequence_begin.value), int(self.dut.sequence_end.value)
        writers = self.writers.get(vma_id, 0) + begin - end
        return self.generations.get(vma_id, 0) + begin << 1 | (writers != 0)

    def _sample(self, space: int, table: int, vma_id: int, unread: bool) -> None:
        dut = self.dut
        self.read.sample()
        self.write.sample()
        if dut.walk_response__valid.value and dut.walk_response__ready.value:
            self.walks_waiting.popleft()
            self.walk_offered = False
        if dut.walk_request__valid.value and dut.walk_request__ready.value:
            asked = unpack(WalkRequest, int(dut.walk_request__payload.value))
            answer = self.tables.walk(asked["space"], asked["vpn"])
            if self.failing_walks:
                self.failing_walks -= 1
                answer["outcome"] = 3
            self.walks_waiting.append(answer | {"tag": asked["tag"], "size": PAGE_SIZE_OF_LEVEL[answer["level"]]})
        if dut.released__valid.value and dut.released__ready.value:
            record = unpack(ReleasedRecord, int(dut.released__payload.value))
            self.released.append((record["pte"], record["vpn"], record["space"]))
        self._sample_step(space, table, vma_id, unread)
        if dut.changed.value:
            assert self.own_lock is not None, "changed strobe without the lock"
            assert not self.changes, f"changed strobe before the writes are visible: {self.changes}"
            line = int(dut.changed_vpn.value) // 8
            self.lines.append((int(dut.changed_space.value), line))
            self.unseen.discard(line)
        for name in ("illegal", "memory_fault"):
            if getattr(dut, name).value:
                self.errors.append(name)
                self.stop = True
        self.interrupts += int(dut.fence_interrupt.value)

    def _sample_step(self, space: int, table: int, vma_id: int, unread: bool) -> None:
        dut = self.dut
        stepped = bool(dut.slot__want.value and dut.slot__grant.value)
        assert bool(dut.slot__event_valid.value) == stepped, "an event without a step, or a step without an event"
        strobes = [
            name
            for name in (
                "space_write_table", "space_write_vmas", "sequence_begin", "sequence_end", "lock_acquire", "lock_release", "mm_acquire",
                "mm_release", "invalidate", "illegal", "fence_interrupt", "srcu_call__valid",
            )
            if getattr(dut, name).value
        ]  # fmt: skip
        responses = [unpack(PageResponse, int(getattr(dut, f"responses__{port}").value)) for port in range(self.ports)]
        told = [(port, response["tag"], response["code"]) for port, response in enumerate(responses) if response["valid"]]
        strobes += ["response"] * len(told)
        if not stepped:
            assert not strobes, f"{strobes} without a grant"
            return
        event = unpack(Event, int(dut.slot__event.value))
        self.events.append(event)
        expected = {
            STEP["SPACE_TABLE"]: "space_write_table", STEP["SPACE_VMAS"]: "space_write_vmas", STEP["SEQ_BEGIN"]: "sequence_begin",
            STEP["SEQ_END"]: "sequence_end", STEP["PTE_LOCK"]: "lock_acquire", STEP["PTE_UNLOCK"]: "lock_release",
            STEP["MM_LOCK"]: "mm_acquire", STEP["MM_UNLOCK"]: "mm_release", STEP["INVALIDATE"]: "invalidate", STEP["ILLEGAL"]: "illegal",
            STEP["SRCU_CALL"]: "srcu_call__valid", STEP["PAGE_RESPONSE"]: "response",
        }.get(event["first"])  # fmt: skip
        assert [name for name in strobes if name != "fence_interrupt"] == ([expected] if expected else []), f"{strobes} in {event}"
        self.responses += told
        self._apply(strobes, event, space, table, vma_id, unread)

    def _apply(self, strobes: list[str], event: dict, space: int, table: int, vma_id: int, unread: bool) -> None:
        """What the strobes do to the tables and locks around the unit, and whether they may."""
        dut = self.dut
        if "sequence_begin" in strobes:
            assert unread, "SEQ.BEGIN while a fault holds the VMA"
        begin, end = "sequence_begin" in strobes, "sequence_end" in strobes
        self.writers[vma_id] = self.writers.get(vma_id, 0) + begin - end
        self.generations[vma_id] = self.generations.get(vma_id, 0) + begin
        if "mm_acquire" in strobes:
            assert not self.mm_readers.get(space), "MM_LOCK while readers hold it"
            assert space not in self.mm_writers
            self.mm_writers.add(space)
        if "mm_release" in strobes:
            self.mm_writers.remove(space)
        for name in ("space_write_table", "space_write_vmas"):
            if name in strobes:
                self.roots[name, int(dut.space_index.value)] = int(dut.space_data.value)
        if "invalidate" in strobes:
            assert not self.sweeping, "an invalidation while the last one's sweep is running"
            self.records.append(unpack(InvalidateRecord, int(dut.record.value)))
        if "srcu_call__valid" in strobes:
            call = unpack(SrcuCall, int(dut.srcu_call__payload.value))
            self.calls.append((call["space"], call["cookie"]))
        if "lock_acquire" in strobes:
            assert table not in self.held_by_others, f"PTE_LOCK of table {table:#x}, which somebody else holds"
            assert self.own_lock is None, "a second PTE lock"
            self.own_lock = table
        if event["first"] in (STEP["PTE_CLEAR"], STEP["PTE_PROTECT"]):
            assert self.own_lock == event["addr"] // PAGE * PAGE, f"{event['addr']:#x} is changed without its lock"
            assert event["addr"] not in self.changes
            self.changes[event["addr"]] = event["data"] if event["first"] == STEP["PTE_PROTECT"] else 0
            self.unseen.add(event["vpn"] // 8)
        if "lock_release" in strobes:
            assert self.own_lock == table, "PTE_UNLOCK of another table"
            assert not self.changes, f"unlocked before these writes were visible: {self.changes}"
            assert not self.unseen, f"unlocked without a changed strobe for lines {self.unseen}"
            self.own_lock = None

    def _visible(self, address: int, data: int) -> None:
        """A write has become visible: it is one that a step made, under the lock, or a fence's."""
        if address in self.changes:
            assert self.changes.pop(address) == data, f"wrong data at {address:#x}"
        else:
            assert self.own_lock is None, f"unexpected write at {address:#x}"

    # --- whole commands

    async def settle(self) -> None:
        """Run until all posted commands are executed or the queue has stopped."""
        for _ in range(PATIENCE):
            await self.cycle()
            if self.stop or (not self.posted and self.head == self.tail):
                break
        else:
            raise AssertionError(f"commands not executed: head {self.head}, tail {self.tail}, last events {self.events[-3:]}")
        for _ in range(5):
            await self.cycle()

    async def run(self, commands: list[tuple[int, int]]) -> list[dict[str, int]]:
        """Execute commands, compare all events with the model, go on behind refused ones; returns the events."""
        expected, refused = [], 0
        for word0, word1 in commands:
            events = self.model.execute(word0, word1)
            expected += events
            refused += bool(events) and events[-1]["first"] == STEP["ILLEGAL"]
        self.posted += commands
        self.events, self.errors = [], []
        for _ in range(refused + 1):
            await self.settle()
            if not self.stop:
                break
            assert self.errors[-1] == "illegal", self.errors
            # put a harmless command in its place: an invalidation of nothing but page 0 of every space
            self.put(self.head, (1 | 1 << 10, 0))
            harmless = self.model.execute(1 | 1 << 10, 0)
            place = next(i for i, event in enumerate(expected) if event["first"] == STEP["ILLEGAL"] and not event.get("seen"))
            expected[place]["seen"] = 1
            expected[place + 1 : place + 1] = harmless
            self.stop = False
        for event in expected:
            event.pop("seen", None)
        compare(self.events, expected)
        assert self.errors == ["illegal"] * refused
        self.check_memory()
        return self.events

    def check_memory(self) -> None:
        """Entries, fence words, released entries, SRCU calls and page responses are as the model has them."""
        for address, word in self.model.words.items():
            assert self.memory[address] == word, f"{address:#x} holds {self.memory[address]:#x} instead of {word:#x}"
        assert self.released == self.model.released
        assert self.lines == self.model.lines
        assert self.calls == self.model.calls
        assert self.responses == self.model.responses
        assert self.own_lock is None


def compare(events: list[dict[str, int]], expected: list[dict[str, int]]) -> None:
    """Equal, event by event."""
    for place, (event, wanted) in enumerate(zip(events, expected, strict=False)):
        assert event == wanted, f"event {place} is {event}, expected {wanted}"
    assert len(events) == len(expected), f"{len(events)} events instead of {len(expected)}"
