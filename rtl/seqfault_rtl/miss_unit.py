"""What all ports share behind their TLBs: the L2 TLB, walks, faults, and the answers that come back.

    misses --in turn--> register --> MissSort --+--> walker --------+
                          | ^ L2Tlb             +--> MissTable      +--> MissEnd --+--> answers, by port
                                                +-------------------+              +--> AdUpdate --> answers
                                                                                   +--> fault queue --> fault unit --> answers

It cannot deadlock: every answer finds room at its port and every fault finds room in the queue (each is one of the `ports` *
`port_misses` that may be outstanding), and AdUpdate has a walk slot of its own; so walk responses are always taken, and the fault unit's
own walks go on.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from .ad_update import AdUpdate
from .config import EngineConfig
from .fast_lane import FastLane
from .fault_records import ReportSignature
from .l2_tlb import L2Tlb
from .messages import (
    Answer,
    ChangeCount,
    FaultAnswer,
    FaultRequest,
    FillRecord,
    InvalidateRecord,
    MemoryUpdateSignature,
    SpaceEntry,
    WalkRequest,
    WalkResponse,
)
from .miss_end import MissEnd
from .miss_records import PAGE_OFFSET_BITS, Miss
from .miss_sort import MissSort
from .miss_table import MissTable
from .paging import VPN_BITS
from .round_robin import RoundRobin
from .stream_merge import StreamMerge

__all__ = ["MissUnit"]


class MissUnit(wiring.Component):
    """Resolves misses by the L2 TLB and by walks, and passes on what is a page fault.

    A miss that is offered in cycle t asks the walker in t + 1; a walk's response in r is an answer in r + 1, one of the L2 TLB in t + 2.

    Parameters
    ----------
    config : parameters of the engine; at most `walks` walks are outstanding.
    has_fault_unit : page faults of user-mode requests go to `faults`; else every fault is answered FAULT.

    Members
    -------
    expected : per port, early in the cycle: `misses` may be valid. Turns are taken among these, so that no port waits for another's lookup.
    misses, answers : per port; `answers` must be ready for every miss that the port has outstanding.
    walk_request, walk_response : the walker's clients: 0 for misses, 1 for A/D updates; a response of the first is taken within a bounded
        number of cycles whatever the fault unit does.
    update : memory, for A/D updates. updating : one is under way.
    faults, fault_answers : the fault unit; one answer per fault.
    reports : FAULT answers of misses (0) and of A/D updates (1), in the cycle in which each is given, or earlier: for the fault queue.
    space, space_entry : combinational query of the space table.
    fill, fill_port, fill_record : strobe: a leaf for the port's TLB.
    commit, commit_record : strobe: a leaf that the fault unit has committed, for the L2 TLB.
    changes_vpn, changes : combinational query: the count of changes for this page (`page_changes.py`).
    invalidate, record : strobe of the command unit; not while `busy`.
    """

    def __init__(self, config: EngineConfig, *, has_fault_unit: bool = True) -> None:
        self._config, self._has_fault_unit = config, has_fault_unit
        super().__init__(
            {
                "expected": In(config.ports),
                "misses": In(stream.Signature(Miss)).array(config.ports),
                "answers": Out(stream.Signature(Answer)).array(config.ports),
                "walk_request": Out(stream.Signature(WalkRequest)).array(2),
                "walk_response": In(stream.Signature(WalkResponse)).array(2),
                "update": Out(MemoryUpdateSignature()),
                "updating": Out(1),
                "faults": Out(stream.Signature(FaultRequest)),
                "fault_answers": In(stream.Signature(FaultAnswer)),
                "reports": Out(ReportSignature()).array(2),
                "space": Out(16),
                "space_entry": In(SpaceEntry),
                "fill": Out(1),
                "fill_port": Out(8),
                "fill_record": Out(FillRecord),
                "commit": In(1),
                "commit_record": In(FillRecord),
                "changes_vpn": Out(VPN_BITS),
                "changes": In(ChangeCount),
                "invalidate": In(1),
                "record": In(InvalidateRecord),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.sort = sort = MissSort(self._config)
        m.submodules.table = table = MissTable(self._config)
        m.submodules.end = end = MissEnd(self._config, has_fault_unit=self._has_fault_unit)
        port = self._admit(m, sort)
        request, walk, response = sort.miss.payload.request, self.walk_request[0], self.walk_response[0]
        m.d.comb += [
            self.space.eq(sort.space),
            sort.space_entry.eq(self.space_entry),
            sort.found.eq(table.found),
            table.request.request.eq(request),
            table.request.port.eq(port),
            table.valid.eq(sort.miss.valid),
            table.enter.eq(sort.miss.valid & sort.miss.ready),
            table.start.eq(sort.walk),
            table.join.eq(sort.join),
            table.invalidate.eq(self.invalidate),
            self.changes_vpn.eq(walk.payload.vpn),
            table.changes.eq(self.changes),
            walk.valid.eq(sort.walk & table.has_walk),
            walk.payload.tag.eq(table.walk),
            walk.payload.space.eq(request.space),
            walk.payload.vpn.eq(request.va[PAGE_OFFSET_BITS:]),
            sort.walk_ready.eq(walk.ready & table.has_walk),
        ]
        # a walk's response goes before what ends without one
        m.d.comb += [
            response.ready.eq(end.ends.ready),
            sort.ends_ready.eq(end.ends.ready & ~response.valid),
            end.ends.valid.eq(response.valid | sort.ends),
            end.ends.payload.end.eq(sort.end),
            end.ends.payload.miss.eq(Mux(response.valid, table.head, table.miss)),
            end.ends.payload.chained.eq(response.valid),
            table.ended.eq(response.payload.tag),
            table.close.eq(response.valid & response.ready),
            table.current.eq(end.current),
            table.leave.eq(end.leave),
            table.leave_walk.eq(end.leave_walk),
            end.asked.eq(table.asked),
            end.following.eq(table.following),
            end.is_last.eq(table.is_last),
            end.invalidate.eq(self.invalidate),
        ]
        with m.If(response.valid):
            m.d.comb += [end.ends.payload.end.eq(0), end.ends.payload.end.walk.eq(response.payload), end.ends.payload.end.changes.eq(table.began)]
        answered_walk = Signal.like(table.ended)
        with m.If(table.close):
            m.d.sync += answered_walk.eq(table.ended)
        m.d.comb += table.current_walk.eq(answered_walk)
        self._finish(m, end)
        return m

    def _admit(self, m: Module, sort: MissSort) -> Signal:
        """The next miss of the ports, in turn, into the register before `sort`; returns the port that it is from."""
        m.submodules.turn = turn = RoundRobin(self._config.ports)
        miss, held, port = Signal(Miss), sort.miss, Signal(8)
        valid, kept, offered = Signal(), Signal(Miss), Signal()
        m.d.comb += [
            turn.requests.eq(self.expected),
            turn.taken.eq(~valid),
            held.valid.eq(valid),
            held.payload.eq(kept),
        ]
        for index, source in enumerate(self.misses):
            with m.If(turn.grant == index):
                m.d.comb += [source.ready.eq(~valid), miss.eq(source.payload), offered.eq(source.valid)]
        with m.If(~valid):
            m.d.sync += [valid.eq(offered), kept.eq(miss), port.eq(turn.grant)]
        with m.Elif(held.ready):
            m.d.sync += valid.eq(0)
        if self._config.l2_sets:
            self._look_up(m, sort, offered & ~valid, miss)
        return port

    def _look_up(self, m: Module, sort: MissSort, lookup: Signal, miss: Miss) -> None:
        m.submodules.l2 = l2 = L2Tlb(self._config)
        m.d.comb += [
            l2.lookup.eq(lookup),
            l2.lookup_record.space.eq(miss.request.space),
            l2.lookup_record.vpn.eq(miss.request.va[PAGE_OFFSET_BITS:]),
            sort.l2_hit.eq(l2.hit),
            sort.l2_pte.eq(l2.pte),
            sort.l2_size.eq(l2.size),
            l2.invalidate.eq(self.invalidate),
            l2.record.eq(self.record),
            self.busy.eq(l2.busy),
        ]
        self._l2 = l2

    def _finish(self, m: Module, end: MissEnd) -> None:
        """Answers and faults: those of MissEnd pass at once; AdUpdate's and the fault unit's get a cycle of two while they wait."""
        config = self._config
        m.submodules.others = others = StreamMerge(FaultAnswer, 2)
        m.submodules.answers = answers = FastLane(FaultAnswer)
        m.submodules.faulted = faulted = FastLane(FaultRequest)
        wiring.connect(m, end.answers, answers.fast)
        wiring.connect(m, end.faults, faulted.fast)
        wiring.connect(m, end.report, wiring.flipped(self.reports[0]))
        wiring.connect(m, wiring.flipped(self.fault_answers), others.inputs[1])
        m.d.comb += [
            answers.slow.valid.eq(others.output.valid),
            answers.slow.payload.eq(others.output.payload.item),
            others.output.ready.eq(answers.slow.ready),
            self.fill.eq(end.fill),
            self.fill_port.eq(end.fill_port),
            self.fill_record.eq(end.fill_record),
        ]
        remembered = Signal()
        m.d.comb += remembered.eq(self.commit | (end.fill & ~end.from_l2))
        if config.svadu:
            self._update(m, end, others.inputs[0], faulted.slow, remembered)
        if config.l2_sets:
            m.d.comb += [
                self._l2.fill.eq(remembered),
                self._l2.fill_record.eq(Mux(self.commit, self.commit_record, self.fill_record)),
            ]
        if self._has_fault_unit:
            self._queue_faults(m, faulted.output)
        item = answers.output.payload.item
        for index, sink in enumerate(self.answers):
            m.d.comb += sink.payload.eq(item.answer)
            with m.If(item.port == index):
                m.d.comb += [sink.valid.eq(answers.output.valid), answers.output.ready.eq(sink.ready)]

    def _update(self, m: Module, end: MissEnd, answers: wiring.PureInterface, faults: wiring.PureInterface, remembered: Signal) -> None:
        """Leaves without A or D. What has been updated is filled before what MissEnd would fill in the same cycle."""
        m.submodules.update = update = AdUpdate(self._config, has_fault_unit=self._has_fault_unit)
        wiring.connect(m, end.updates, update.requests)
        wiring.connect(m, update.answers, answers)
        wiring.connect(m, update.faults, faults)
        wiring.connect(m, update.report, wiring.flipped(self.reports[1]))
        wiring.connect(m, update.update, wiring.flipped(self.update))
        wiring.connect(m, update.walk_request, wiring.flipped(self.walk_request[1]))
        wiring.connect(m, wiring.flipped(self.walk_response[1]), update.walk_response)
        m.d.comb += [
            update.invalidate.eq(self.invalidate),
            self.updating.eq(~update.requests.ready),
        ]
        with m.If(update.fill):
            m.d.comb += [remembered.eq(1), self.fill.eq(1), self.fill_port.eq(update.fill_port), self.fill_record.eq(update.fill_record)]

    def _queue_faults(self, m: Module, source: wiring.PureInterface) -> None:
        """Room for every fault that can be outstanding; buffered, so that a deep one becomes block RAM. An empty one is passed by, if the
        fault unit is ready (which it says early)."""
        fault, item, passing = self.faults.payload.as_value(), source.payload.item.as_value(), Signal()
        m.submodules.queue = queue = SyncFIFOBuffered(width=len(fault), depth=self._config.ports * self._config.port_misses + 1)
        empty = queue.level == 0
        m.d.comb += [
            passing.eq(empty & self.faults.ready),
            queue.w_en.eq(source.valid & ~passing),
            queue.w_data.eq(item),
            source.ready.eq(queue.w_rdy),
            self.faults.valid.eq(queue.r_rdy | (passing & source.valid)),
            fault.eq(Mux(passing, item, queue.r_data)),
            queue.r_en.eq(self.faults.ready),
        ]
