"""What all ports share behind their TLBs: walks, faults, and the answers that come back.

    misses --merge--> MissSort --+--> refused --------------------+--merge--> answers, by port
                                 +--> MissWalks --+--> translated-+
                                 |                |               +--- fault answers
                                 +--> denied -----+--merge--> fault queue --> faults

It cannot deadlock: every answer finds room at its port and every fault finds room in the queue (each is one of the `ports` *
`port_misses` that may be outstanding), so walk responses are always taken, and the fault unit's own walks go on.
"""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import Answer, FaultAnswer, FaultRequest, FillRecord, SpaceEntry, WalkRequest, WalkResponse
from .miss_records import Miss
from .miss_sort import MissSort
from .miss_walks import MissWalks
from .stream_merge import StreamMerge

__all__ = ["MissUnit"]


class MissUnit(wiring.Component):
    """Resolves misses by walks, and passes on what is a page fault.

    Parameters
    ----------
    config : parameters of the engine; at most `walks` walks are outstanding.

    Members
    -------
    misses, answers : per port; `answers` must be ready for every miss that the port has outstanding.
    walk_request, walk_response : the walker; a response is taken within a bounded number of cycles whatever the fault unit does.
    faults, fault_answers : the fault unit; one answer per fault.
    space, space_entry : combinational query of the space table.
    fill, fill_port, fill_record : strobe: a leaf for the port's TLB, see `MissWalks`.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "misses": In(stream.Signature(Miss)).array(config.ports),
                "answers": Out(stream.Signature(Answer)).array(config.ports),
                "walk_request": Out(stream.Signature(WalkRequest)),
                "walk_response": In(stream.Signature(WalkResponse)),
                "faults": Out(stream.Signature(FaultRequest)),
                "fault_answers": In(stream.Signature(FaultAnswer)),
                "space": Out(16),
                "space_entry": In(SpaceEntry),
                "fill": Out(1),
                "fill_port": Out(8),
                "fill_record": Out(FillRecord),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.misses = misses = StreamMerge(Miss, self._config.ports)
        m.submodules.sort = sort = MissSort()
        m.submodules.walks = walks = MissWalks(self._config)
        m.submodules.faults = faults = StreamMerge(FaultRequest, 2)
        m.submodules.answers = answers = StreamMerge(FaultAnswer, 3)
        for source, sink in zip(self.misses, misses.inputs, strict=True):
            wiring.connect(m, wiring.flipped(source), sink)
        wiring.connect(m, sort.walk, walks.requests)
        wiring.connect(m, sort.fault, faults.inputs[0])
        wiring.connect(m, walks.faults, faults.inputs[1])
        wiring.connect(m, sort.refused, answers.inputs[0])
        wiring.connect(m, walks.answers, answers.inputs[1])
        wiring.connect(m, wiring.flipped(self.fault_answers), answers.inputs[2])
        wiring.connect(m, walks.walk_request, wiring.flipped(self.walk_request))
        wiring.connect(m, wiring.flipped(self.walk_response), walks.walk_response)
        m.d.comb += [
            sort.miss.valid.eq(misses.output.valid),
            sort.miss.payload.eq(misses.output.payload.item),
            sort.port.eq(misses.output.payload.source),
            misses.output.ready.eq(sort.miss.ready),
            self.space.eq(sort.space),
            sort.space_entry.eq(self.space_entry),
            self.fill.eq(walks.fill),
            self.fill_port.eq(walks.fill_port),
            self.fill_record.eq(walks.fill_record),
        ]
        self._queue_faults(m, faults.output)
        self._deliver(m, answers.output)
        return m

    def _queue_faults(self, m: Module, source: wiring.PureInterface) -> None:
        """Room for every fault that can be outstanding; buffered, so that a deep one becomes block RAM."""
        fault = self.faults.payload.as_value()
        m.submodules.queue = queue = SyncFIFOBuffered(width=len(fault), depth=self._config.ports * self._config.port_misses + 1)
        m.d.comb += [
            queue.w_en.eq(source.valid),
            queue.w_data.eq(source.payload.item),
            source.ready.eq(queue.w_rdy),
            self.faults.valid.eq(queue.r_rdy),
            fault.eq(queue.r_data),
            queue.r_en.eq(self.faults.ready),
        ]

    def _deliver(self, m: Module, source: wiring.PureInterface) -> None:
        """To the port that asked."""
        item = source.payload.item
        for index, sink in enumerate(self.answers):
            m.d.comb += sink.payload.eq(item.answer)
            with m.If(item.port == index):
                m.d.comb += [sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
