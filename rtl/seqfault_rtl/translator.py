"""The requester ports: an L1 TLB each, misses shared. Wiring only; see `port_lookup.py`, `miss_unit.py`."""

from amaranth import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .messages import Answer, FaultAnswer, FaultRequest, FillRecord, InvalidateRecord, Request, SpaceEntry, WalkRequest, WalkResponse
from .miss_unit import MissUnit
from .port_lookup import PortLookup

__all__ = ["Translator"]


class Translator(wiring.Component):
    """Answers requests: from the TLB, by a walk, or through the fault unit. Answers of a port come in any order.

    Parameters
    ----------
    config : parameters of the engine.

    Members
    -------
    requests, answers : per port.
    walk_request, walk_response : the walker.
    faults, fault_answers : the fault unit: page faults, also those found by a TLB entry without the right; one answer for each.
    space, space_entry : combinational query of the space table.
    fill, fill_port, fill_record : strobe of the fault unit at commit: for this port's TLB. It goes before a walk's leaf of that cycle.
    invalidate, record : strobe of the command unit. A request taken in a later cycle is not answered from what it covers.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__(
            {
                "requests": In(stream.Signature(Request)).array(config.ports),
                "answers": Out(stream.Signature(Answer)).array(config.ports),
                "walk_request": Out(stream.Signature(WalkRequest)),
                "walk_response": In(stream.Signature(WalkResponse)),
                "faults": Out(stream.Signature(FaultRequest)),
                "fault_answers": In(stream.Signature(FaultAnswer)),
                "space": Out(16),
                "space_entry": In(SpaceEntry),
                "fill": In(1),
                "fill_port": In(8),
                "fill_record": In(FillRecord),
                "invalidate": In(1),
                "record": In(InvalidateRecord),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.misses = misses = MissUnit(self._config)
        wiring.connect(m, misses.walk_request, wiring.flipped(self.walk_request))
        wiring.connect(m, wiring.flipped(self.walk_response), misses.walk_response)
        wiring.connect(m, misses.faults, wiring.flipped(self.faults))
        wiring.connect(m, wiring.flipped(self.fault_answers), misses.fault_answers)
        m.d.comb += [self.space.eq(misses.space), misses.space_entry.eq(self.space_entry)]
        for index in range(self._config.ports):
            m.submodules[f"port_{index}"] = port = PortLookup(self._config)
            wiring.connect(m, wiring.flipped(self.requests[index]), port.requests)
            wiring.connect(m, port.answers, wiring.flipped(self.answers[index]))
            wiring.connect(m, port.misses, misses.misses[index])
            wiring.connect(m, misses.answers[index], port.miss_answers)
            committed = self.fill & (self.fill_port == index)
            m.d.comb += [
                port.fill.eq(committed | (misses.fill & (misses.fill_port == index))),
                port.fill_record.eq(Mux(committed, self.fill_record, misses.fill_record)),
                port.invalidate.eq(self.invalidate),
                port.record.eq(self.record),
            ]
        return m
