"""The requester ports: an L1 TLB each, misses shared. Wiring only; see `port_lookup.py`, `miss_unit.py`."""

from amaranth import Module, Mux
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .fault_records import ReportSignature
from .messages import (
    Answer,
    ChangeCount,
    FaultAnswer,
    FaultRequest,
    FillRecord,
    InvalidateRecord,
    MemoryUpdateSignature,
    Request,
    SpaceEntry,
    WalkRequest,
    WalkResponse,
)
from .miss_unit import MissUnit
from .paging import VPN_BITS
from .port_lookup import PortLookup

__all__ = ["Translator"]


class Translator(wiring.Component):
    """Answers requests: from the TLBs, by a walk, or through the fault unit. Answers of a port come in any order.

    Parameters
    ----------
    config : parameters of the engine.
    has_fault_unit : page faults of user-mode requests go to `faults`; else every fault is answered FAULT.

    Members
    -------
    requests, answers : per port. withdraw : per port, a strobe: requests taken before this cycle are not answered any more.
    walk_request, walk_response : the walker's clients: 0 for misses, 1 for A/D updates.
    update : memory, for A/D updates. updating : one is under way.
    faults, fault_answers : the fault unit: page faults, also those found by a TLB entry without the right; one answer for each.
    reports : one report for each FAULT answer but the fault unit's, see `MissUnit`.
    space, space_entry : combinational query of the space table.
    fill, fill_port, fill_record : strobe of the fault unit at commit: for this port's TLB and the L2. It goes before a walk's leaf of that
        cycle.
    changes_vpn, changes : combinational query: the count of changes for this page (`page_changes.py`).
    invalidate, record : strobe of the command unit, not while `busy`. A request taken in a later cycle is not answered from what it covers.
    busy : the L2 TLB is still being swept for the last one (nothing that it covers is given meanwhile).
    """

    def __init__(self, config: EngineConfig, *, has_fault_unit: bool = True) -> None:
        self._config, self._has_fault_unit = config, has_fault_unit
        super().__init__(
            {
                "requests": In(stream.Signature(Request)).array(config.ports),
                "answers": Out(stream.Signature(Answer)).array(config.ports),
                "withdraw": In(1).array(config.ports),
                "walk_request": Out(stream.Signature(WalkRequest)).array(2),
                "walk_response": In(stream.Signature(WalkResponse)).array(2),
                "update": Out(MemoryUpdateSignature()),
                "updating": Out(1),
                "faults": Out(stream.Signature(FaultRequest)),
                "fault_answers": In(stream.Signature(FaultAnswer)),
                "reports": Out(ReportSignature()).array(2),
                "space": Out(16),
                "space_entry": In(SpaceEntry),
                "fill": In(1),
                "fill_port": In(8),
                "fill_record": In(FillRecord),
                "changes_vpn": Out(VPN_BITS),
                "changes": In(ChangeCount),
                "invalidate": In(1),
                "record": In(InvalidateRecord),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:  # type: ignore[no-untyped-def]
        m = Module()
        m.submodules.misses = misses = MissUnit(self._config, has_fault_unit=self._has_fault_unit)
        for index in range(2):
            wiring.connect(m, misses.walk_request[index], wiring.flipped(self.walk_request[index]))
            wiring.connect(m, wiring.flipped(self.walk_response[index]), misses.walk_response[index])
            wiring.connect(m, misses.reports[index], wiring.flipped(self.reports[index]))
        wiring.connect(m, misses.update, wiring.flipped(self.update))
        wiring.connect(m, misses.faults, wiring.flipped(self.faults))
        wiring.connect(m, wiring.flipped(self.fault_answers), misses.fault_answers)
        m.d.comb += [
            self.space.eq(misses.space),
            misses.space_entry.eq(self.space_entry),
            misses.commit.eq(self.fill),
            misses.commit_record.eq(self.fill_record),
            self.changes_vpn.eq(misses.changes_vpn),
            misses.changes.eq(self.changes),
            misses.invalidate.eq(self.invalidate),
            misses.record.eq(self.record),
            self.busy.eq(misses.busy),
            self.updating.eq(misses.updating),
        ]
        for index in range(self._config.ports):
            m.submodules[f"port_{index}"] = port = PortLookup(self._config)
            wiring.connect(m, wiring.flipped(self.requests[index]), port.requests)
            wiring.connect(m, port.answers, wiring.flipped(self.answers[index]))
            wiring.connect(m, port.misses, misses.misses[index])
            wiring.connect(m, misses.answers[index], port.miss_answers)
            committed = self.fill & (self.fill_port == index)
            m.d.comb += [
                misses.expected[index].eq(port.may_miss),
                port.withdraw.eq(self.withdraw[index]),
                port.fill.eq(committed | (misses.fill & (misses.fill_port == index))),
                port.fill_record.eq(Mux(committed, self.fill_record, misses.fill_record)),
                port.invalidate.eq(self.invalidate),
                port.record.eq(self.record),
            ]
        return m
