"""One chunk of a leaf table under its PTE lock: what ZAP and PROTECT do to a few neighbouring entries. [protocol.md 0.3 W3, U2; 1.4]

The lock is held while the chunk's entries are read, changed and written, for at most `zap_chunk` entries. Nothing is waited for that a
fault context could hold, with one exception outside the engine: a ZAP that finds the released ring full keeps the lock until software makes
room. Faults on that table park meanwhile, for `lock_rounds` rounds at the most.
"""

from amaranth import Cat, Const, Module, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .commands import SweepTask
from .config import EngineConfig
from .messages import MemoryReadSignature, MemoryWriteSignature, ReleasedRecord, Step, StepPort
from .paging import EXCLUSIVE, LEVEL_BITS, PPN_BITS, VPN_BITS, Pte

__all__ = ["EntryChunk"]

PAGE_BITS = 12
ENTRY_BITS = 3
"""log2 of the bytes of an entry."""
LINE_ENTRIES_LOG2 = 3
"""log2 of the entries in a 64-byte line."""


class EntryChunk(wiring.Component):
    """Applies `task` to the entries of the pages `vpn` to `vpn` + `more`, which lie in one aligned chunk of leaf table `table`.

    Parameters
    ----------
    config : `zap_chunk` entries at most.

    Members
    -------
    run, task, table, vpn, more : what to do; stable until `done`. `task.vpn` and `task.count` are not looked at.
    done, failed : strobe: the lock is dropped; `failed`: the bus answered with an error.
    slot, lock_acquire, lock_release, lock_busy : step port and PTE lock of `table`.
    read, write, released : entries, and the removed ones. An entry is given away when its write has been answered; not after a bus error, as it
        may map the frame still. The tag of a write is the entry's place.
    changed, changed_vpn : strobe for a line of entries, when all its writes are visible and the lock is still held.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._chunk_bits = exact_log2(config.zap_chunk)
        super().__init__(
            {
                "run": In(1),
                "task": In(SweepTask),
                "table": In(PPN_BITS),
                "vpn": In(VPN_BITS),
                "more": In(self._chunk_bits),
                "done": Out(1),
                "failed": Out(1),
                "slot": Out(StepPort()),
                "lock_acquire": Out(1),
                "lock_release": Out(1),
                "lock_busy": In(1),
                "read": Out(MemoryReadSignature()),
                "write": Out(MemoryWriteSignature()),
                "released": Out(stream.Signature(ReleasedRecord)),
                "changed": Out(1),
                "changed_vpn": Out(VPN_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        place = Signal(self._chunk_bits)  # entry in work, counted from the first
        self._page = Signal(VPN_BITS)
        self._failure, self._waiting = Signal(), Signal(self._chunk_bits + 2)  # writes not yet answered
        self._writes = Signal()  # this cycle's step writes an entry
        self._removed = Signal(1 << self._chunk_bits)  # entries that are 0 in memory now, and were not given away yet
        self._lines = Signal(1 << self._chunk_bits - LINE_ENTRIES_LOG2)  # lines of the chunk in which something changed
        go, response = self.slot.want & self.slot.grant, self.read.response
        m.submodules.entries = entries = memory.Memory(shape=64, depth=1 << self._chunk_bits, init=[])
        store, load = entries.write_port(), entries.read_port(domain="comb")
        m.d.comb += [
            self._page.eq(self.vpn + place),
            store.addr.eq(place),
            store.data.eq(response.payload.data),
            store.en.eq(response.valid),
            load.addr.eq(place),
            self.read.request.payload.addr.eq(self._address(self.vpn)),
            self.read.request.payload.beats.eq(self.more),
            response.ready.eq(1),
            self.slot.event_valid.eq(go),
        ]
        self._count_writes(m)
        self._release(m, entries.read_port(domain="comb"))
        with m.FSM():
            with m.State("LOCK"):
                m.d.sync += [place.eq(0), self._failure.eq(0), self._lines.eq(0)]
                self._lock_step(m, Step.PTE_LOCK)
                m.d.comb += [self.slot.want.eq(self.run & ~self.lock_busy), self.lock_acquire.eq(go)]
                with m.If(go):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.read.request.valid.eq(1)
                with m.If(self.read.request.ready):
                    m.next = "RECEIVE"
            with m.State("RECEIVE"), m.If(response.valid):
                m.d.sync += [place.eq(place + 1), self._failure.eq(self._failure | response.payload.error)]
                with m.If(response.payload.last):
                    m.d.sync += place.eq(0)
                    m.next = "CHANGE"
            with m.State("CHANGE"):
                done = self._change(m, Pte(load.data), place)
                with m.If(done):
                    m.d.sync += place.eq(place + 1)
                    with m.If(place == self.more):
                        m.d.sync += place.eq(0)
                        m.next = "DRAIN"
            with m.State("DRAIN"), m.If(~self._waiting.any() & ~self._removed.any() & ~self.released.valid):
                m.next = "TELL"
            with m.State("TELL"):
                self._tell(m, place)
            with m.State("UNLOCK"):
                self._lock_step(m, Step.PTE_UNLOCK)
                m.d.comb += [self.slot.want.eq(1), self.lock_release.eq(go)]
                with m.If(go):
                    m.d.comb += [self.done.eq(1), self.failed.eq(self._failure)]
                    m.next = "LOCK"
        return m

    def _address(self, vpn: Value) -> Value:
        """Where the leaf entry of a page is."""
        return Cat(Const(0, ENTRY_BITS), vpn[:LEVEL_BITS], self.table)

    def _lock_step(self, m: Module, step: Step) -> None:
        event = self.slot.event
        m.d.comb += [event.first.eq(step), event.last.eq(step), event.addr.eq(self.table << PAGE_BITS)]

    def _count_writes(self, m: Module) -> None:
        """The output register is emptied, and what the memory has not answered is counted, whatever the state."""
        with m.If(self.write.request.ready):
            m.d.sync += self.write.request.valid.eq(0)
        answer, started = self.write.response, Signal()
        m.d.comb += [answer.ready.eq(1), started.eq(self.slot.event_valid & self._writes)]
        m.d.sync += self._waiting.eq(self._waiting + started - answer.valid)
        with m.If(answer.valid & answer.payload.error):
            m.d.sync += self._failure.eq(1)

    def _release(self, m: Module, kept: memory.ReadPort) -> None:
        """Give away the entries whose writes have been answered, the lowest first."""
        answer, record, place = self.write.response, self.released, Signal(self._chunk_bits)
        for index in reversed(range(1 << self._chunk_bits)):
            with m.If(self._removed[index]):
                m.d.comb += place.eq(index)
        m.d.comb += kept.addr.eq(place)
        with m.If(self.released.ready):
            m.d.sync += record.valid.eq(0)
        with m.If(answer.valid & ~answer.payload.error & ~self.task.protect):
            m.d.sync += self._removed.bit_select(answer.payload.tag[: self._chunk_bits], 1).eq(1)
        with m.If(self._removed.any() & (~record.valid | record.ready)):
            m.d.sync += [record.valid.eq(1), record.payload.pte.eq(kept.data)]
            m.d.sync += [record.payload.vpn.eq(self.vpn + place), record.payload.space.eq(self.task.space)]
            m.d.sync += self._removed.bit_select(place, 1).eq(0)

    def _change(self, m: Module, old: data.View, place: Signal) -> Value:
        """PTE_CLEAR or PTE_PROTECT of one entry, if it is a valid leaf. True: on to the next."""
        new, event, rights = Signal(Pte), self.slot.event, self.task.rights
        skip, room = Signal(), Signal()
        m.d.comb += [
            skip.eq(self._failure | ~(old.v & old.is_leaf())),
            room.eq(~self.write.request.valid),
            self.slot.want.eq(~skip & room),
            self._writes.eq(1),
            event.space.eq(self.task.space),
            event.vpn.eq(self._page),
            event.addr.eq(self._address(self._page)),
        ]
        with m.If(self.task.protect):
            m.d.comb += [new.eq(old), new.r.eq(rights.r), new.w.eq(rights.w), new.x.eq(rights.x)]
            m.d.comb += new.rsw[EXCLUSIVE].eq(old.rsw[EXCLUSIVE] & ~self.task.share)
            m.d.comb += [event.first.eq(Step.PTE_PROTECT), event.last.eq(Step.PTE_PROTECT), event.data.eq(new)]
        with m.Else():
            m.d.comb += [event.first.eq(Step.PTE_CLEAR), event.last.eq(Step.PTE_CLEAR), event.data.eq(old)]
        go = self.slot.want & self.slot.grant
        with m.If(go):
            request = self.write.request
            m.d.sync += [request.valid.eq(1), request.payload.addr.eq(self._address(self._page)), request.payload.data.eq(new)]
            m.d.sync += request.payload.tag.eq(place)
            m.d.sync += self._lines.bit_select(self._line(self._page), 1).eq(1)
        return skip | go

    def _line(self, vpn: Value) -> Value:
        """Number of a page's line in the chunk."""
        return vpn[LINE_ENTRIES_LOG2 : self._chunk_bits]

    def _tell(self, m: Module, place: Signal) -> None:
        """One line a cycle; `place` counts lines here."""
        first = Cat(Const(0, self._chunk_bits), self.vpn[self._chunk_bits :])
        m.d.comb += [self.changed.eq(self._lines.bit_select(place, 1)), self.changed_vpn.eq(first | (place << LINE_ENTRIES_LOG2))]
        m.d.sync += place.eq(place + 1)
        with m.If(place == len(self._lines) - 1):
            m.next = "UNLOCK"
