"""The writers' side of the protocol: executes the command queue, one command at a time, each step in the step slot. [protocol.md 0.3]

    queue --> CommandFetch --> CommandDecode --+--> CommandStep   (one step: brackets, locks, spaces, invalidation, calls, responses, refusal)
                                               +--> CommandFence  (IOFENCE.C)
                                               +--> EntrySweep    (ZAP, PROTECT)

A command that cannot be executed is refused by an ILLEGAL step and stops the queue, as does a bus error; the head stays at it.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .command_decode import CommandDecode
from .command_fence import CommandFence
from .command_fetch import CommandFetch
from .command_step import CommandStep
from .commands import AGENT, CommandKind, CommandResult, CustomWord, SatpWord, SweepWord
from .config import EngineConfig
from .entry_sweep import EntrySweep
from .messages import (
    InvalidateRecord,
    MemoryReadSignature,
    MemoryWriteSignature,
    PageResponse,
    QueueSettings,
    ReleasedRecord,
    StepPort,
    WalkRequest,
    WalkResponse,
)
from .paging import PPN_BITS, VPN_BITS, PagingMode
from .space_table import SpaceFeatures
from .srcu_call import SrcuCall

__all__ = ["CommandUnit"]

_SWEEP_STROBES = ("lock_acquire", "lock_release", "changed")
_STEP_STROBES = (
    "space_write_table", "space_write_vmas", "sequence_claim", "sequence_begin", "sequence_end", "mm_claim", "mm_acquire", "mm_release",
    "invalidate",
)  # fmt: skip
_STEP_CONDITIONS = ("sequence_idle", "sequence_unread", "mm_free", "invalidating", "srcu_refused")


class CommandUnit(wiring.Component):
    """Runs commands in order. All strobes are in the cycle in which the slot is granted, if not said otherwise.

    Parameters
    ----------
    config : `spaces`, `contexts`, `walk_slots`, `zap_chunk`, `ports`.

    Members
    -------
    queue, tail, head, stop : the command queue's registers. illegal, memory_fault : strobes that set its error bits (`memory_fault` outside
        the slot); the unit waits until `stop` has come and gone. fence_interrupt : IOFENCE.C with WSI. busy : level, a command is running.
    slot : step port; the agent in events is 63.
    read, write : memory: commands, entries, fence data. walk_request, walk_response : to find leaf tables.
    space_write_table, space_write_vmas, space_index, space_data, space_features : the space table's write port.
    sequence_id, sequence_begin, sequence_end : the sequence table's operations; `sequence_next` is the sequence after them, `sequence_idle`
        that no writer is active on the id. `sequence_claim`: level, SEQ.BEGIN waits for the readers of the id (`sequence_unread`).
    lock_table, lock_acquire, lock_release, lock_busy : the PTE lock of a table (PPN).
    mm_space, mm_claim, mm_acquire, mm_release, mm_free, mm_held : the mm lock as the writer; `mm_claim` is a level.
    changed, changed_space, changed_vpn : a sweep changed entries in the line of this page; strobe when its writes are visible and the PTE
        lock is still held, outside the slot.
    invalidate, record : what IOTINVAL.VMA invalidates; not while `invalidating`, the last one's sweep of the L2 TLB.
    pinned, walking, released_idle : what IOFENCE.C waits for.
    released : entries that ZAP removed.
    srcu_call : SRCU.CALL: valid for one cycle, and never waits; `srcu_refused` says in that cycle that it was not taken.
    responses : to the requester ports, what software has done about their page requests (ATS.PRGR).
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        flags = {name: Out(1) for name in _SWEEP_STROBES + _STEP_STROBES} | {name: In(1) for name in _STEP_CONDITIONS}
        super().__init__(
            {
                "queue": In(QueueSettings), "tail": In(32), "head": Out(32), "stop": In(1), "illegal": Out(1), "memory_fault": Out(1),
                "fence_interrupt": Out(1), "busy": Out(1), "slot": Out(StepPort()), "read": Out(MemoryReadSignature()),
                "write": Out(MemoryWriteSignature()), "walk_request": Out(stream.Signature(WalkRequest)),
                "walk_response": In(stream.Signature(WalkResponse)), "space_index": Out(16), "space_data": Out(64),
                "space_features": Out(SpaceFeatures), "sequence_id": Out(16),
                "sequence_next": In(32), "lock_table": Out(PPN_BITS), "lock_busy": In(1), "mm_space": Out(16), "mm_held": In(1),
                "changed_space": Out(16), "changed_vpn": Out(VPN_BITS), "record": Out(InvalidateRecord), "pinned": In(config.contexts),
                "walking": In(config.walk_slots + 1), "released_idle": In(1), "released": Out(stream.Signature(ReleasedRecord)),
                "srcu_call": Out(stream.Signature(SrcuCall)), "responses": Out(PageResponse).array(config.ports), **flags,
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch = self._fetch = CommandFetch()
        m.submodules.decode = self._decode = decode = CommandDecode(self._config)
        m.submodules.step = self._step = CommandStep(self._config)
        m.submodules.fence = self._fence = CommandFence(self._config)
        m.submodules.sweep = self._sweep = EntrySweep(self._config)
        command, refused = self._fetch.command, Signal()  # refused: a sweep met what it cannot change, the ILLEGAL step comes next
        is_sweep = (decode.kind == CommandKind.ZAP) | (decode.kind == CommandKind.PROTECT)
        is_fence = decode.kind == CommandKind.FENCE
        m.d.comb += [
            decode.command.eq(command.payload),
            decode.mm_held.eq(self.mm_held),
            self.mm_space.eq(decode.space),
            self._step.kind.eq(Mux(refused, CommandKind.ILLEGAL, decode.kind)),
            self._step.space.eq(decode.space),
            self._step.run.eq(command.valid & (refused | ~(is_sweep | is_fence))),
            self._step.command.eq(command.payload),
            self._fence.run.eq(command.valid & is_fence),
            self._fence.command.eq(command.payload),
            self._sweep.run.eq(command.valid & is_sweep & ~refused),
        ]
        self._finish(m, refused)
        self._connect_queue(m)
        self._connect_memory(m)
        self._connect_slot(m)
        self._connect_tables(m)
        self._connect_sweep(m)
        return m

    def _finish(self, m: Module, refused: Signal) -> None:
        """What becomes of the command when the unit that has it is done."""
        fetch, step, fence, sweep = self._fetch, self._step, self._fence, self._sweep
        broken = Signal()
        for unit in (step, fence, sweep):
            with m.If(unit.done):
                m.d.comb += fetch.command.ready.eq(unit.result == CommandResult.OK)
        with m.If(sweep.done & (sweep.result == CommandResult.ILLEGAL)):
            m.d.sync += refused.eq(1)
        with m.If(step.done):
            m.d.sync += refused.eq(0)
        m.d.comb += [
            self.illegal.eq(step.done & (step.result == CommandResult.ILLEGAL)),
            broken.eq((fence.done & (fence.result == CommandResult.MEMORY_FAULT)) | (sweep.done & (sweep.result == CommandResult.MEMORY_FAULT))),
            fetch.failed.eq(self.illegal | broken),
            self.memory_fault.eq(fetch.queue.memory_fault | broken),
        ]

    def _connect_queue(self, m: Module) -> None:
        queue = self._fetch.queue
        m.d.comb += [
            queue.settings.eq(self.queue),
            queue.stop.eq(self.stop),
            queue.tail.eq(self.tail),
            self.head.eq(queue.head),
            self.busy.eq(queue.busy),
            self.fence_interrupt.eq(self._fence.interrupt),
        ]

    def _connect_memory(self, m: Module) -> None:
        """Fetch and sweep never read at the same time, fence and sweep never write at the same time: who runs gets the responses."""
        fetch, sweep, fence = self._fetch, self._sweep, self._fence
        executing = fetch.command.valid
        m.d.comb += [self.read.response.ready.eq(1), self.write.response.ready.eq(1)]
        for own, unit, turn in (
            (self.read, fetch.read, ~executing),
            (self.read, sweep.read, executing),
            (self.write, fence.write, fence.run),
            (self.write, sweep.write, ~fence.run),
        ):
            with m.If(unit.request.valid):
                m.d.comb += [own.request.valid.eq(1), own.request.payload.eq(unit.request.payload)]
            m.d.comb += [
                unit.request.ready.eq(own.request.ready),
                unit.response.payload.eq(own.response.payload),
                unit.response.valid.eq(own.response.valid & turn),
            ]

    def _connect_slot(self, m: Module) -> None:
        """At most one of the units wants the slot."""
        for unit in (self._step, self._fence, self._sweep):
            with m.If(unit.slot.want):
                m.d.comb += [self.slot.want.eq(1), self.slot.event.eq(unit.slot.event), self.slot.event_valid.eq(unit.slot.event_valid)]
                # not unconditionally: a constant field beside conditional ones becomes an `always @*` that Verilator never runs
                m.d.comb += self.slot.event.agent.eq(AGENT)
            m.d.comb += unit.slot.grant.eq(self.slot.grant)

    def _connect_tables(self, m: Module) -> None:
        step, sweep, fence = self._step, self._sweep, self._fence
        for unit, names in ((step, _STEP_STROBES), (sweep, _SWEEP_STROBES)):
            m.d.comb += [getattr(self, name).eq(getattr(unit, name)) for name in names]
        m.d.comb += [getattr(step, name).eq(getattr(self, name)) for name in _STEP_CONDITIONS]
        m.d.comb += [
            step.sequence_next.eq(self.sequence_next),
            self.space_index.eq(self._decode.space),
            self.space_data.eq(self._fetch.command.payload.word1),
            self.space_features.eq(CustomWord(self._fetch.command.payload.word0).options),
            self.sequence_id.eq(step.sequence_id),
            self.record.eq(step.record),
            self.srcu_call.valid.eq(step.srcu_call.valid),
            self.srcu_call.payload.eq(step.srcu_call.payload),
            fence.pinned.eq(self.pinned),
            fence.walking.eq(self.walking),
            fence.released_idle.eq(self.released_idle),
            sweep.lock_busy.eq(self.lock_busy),
            self.lock_table.eq(sweep.lock_table),
            self.changed_space.eq(self._decode.space),
            self.changed_vpn.eq(sweep.changed_vpn),
        ]
        m.d.comb += [own.eq(told) for own, told in zip(self.responses, step.responses, strict=True)]

    def _connect_sweep(self, m: Module) -> None:
        """The sweep's task. The mode of each space is remembered here from SPACE.TABLE."""
        sweep, command = self._sweep, self._fetch.command.payload
        custom = CustomWord(command.word0)
        m.submodules.modes = modes = memory.Memory(shape=PagingMode, depth=self._config.spaces, init=[])
        known, learn = modes.read_port(domain="comb"), modes.write_port()
        m.d.comb += [
            known.addr.eq(self._decode.space),
            learn.addr.eq(self._decode.space),
            learn.data.eq(SatpWord(command.word1).mode),
            learn.en.eq(self.space_write_table),
            self._decode.mode.eq(known.data),
            sweep.task.mode.eq(known.data),
            sweep.task.protect.eq(self._decode.kind == CommandKind.PROTECT),
            sweep.task.share.eq(custom.share),
            sweep.task.space.eq(self._decode.space),
            sweep.task.rights.eq(custom.options),
            sweep.task.vpn.eq(SweepWord(command.word1).vpn),
            sweep.task.count.eq(custom.count),
        ]
        for name in ("walk_request", "walk_response", "released"):
            ends = getattr(sweep, name), flipped(getattr(self, name))
            connect(m, *ends)
