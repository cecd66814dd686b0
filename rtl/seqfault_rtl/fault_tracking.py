"""What happened to a context's page since its walk began: the on-chip form of C2 and C4. [protocol.md 0.2 R12, R16]

C2: software invalidates after it changed an upper entry, so an invalidation of the page stands for "the parent entry may have changed".
C4: every engine write of a leaf entry is announced here once it is visible in memory, so a walk that may have read the old value is known.
"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .config import EngineConfig
from .context_schedule import MAX_AGENTS
from .messages import InvalidateRecord
from .paging import VPN_BITS

__all__ = ["LINE_PAGES_LOG2", "FaultTracking"]

AROUND_PAGES_LOG2 = 4
LINE_PAGES_LOG2 = 3
"""The command unit announces changes by 64-byte lines of leaf entries: 8 pages. A commit is of one entry."""


class FaultTracking(wiring.Component):
    """One watch per context.

    Members
    -------
    watch, agent, space, vpn : strobe: the walk of context `agent` for this page begins now; its two bits are cleared.
    committed : strobe: the fault unit changed the leaf entry of the page `space`, `vpn`, visibly.
    invalidate, record : strobe of the command unit.
    changed, changed_space, changed_vpn : strobe of the command unit, in any cycle: a leaf entry in the line of this page was changed, visibly.
    surrounded : strobe: the fault unit changed leaf entries in the window of the page `space`, `vpn`, visibly.
    tabled : strobe: the fault unit made a table in `space`.
    updated, updated_space, updated_vpn : strobe: an A/D update of the leaf entry of this page begins or ends.
    stale, raced, table_raced : one bit per context; `table_raced`: a table was made in the context's space.
    """

    watch: In(1)
    agent: In(6)
    space: In(16)
    vpn: In(VPN_BITS)
    committed: In(1)
    invalidate: In(1)
    record: In(InvalidateRecord)
    changed: In(1)
    changed_space: In(16)
    changed_vpn: In(VPN_BITS)
    surrounded: In(1)
    tabled: In(1)
    updated: In(1)
    updated_space: In(16)
    updated_vpn: In(VPN_BITS)
    stale: Out(MAX_AGENTS)
    raced: Out(MAX_AGENTS)
    table_raced: Out(MAX_AGENTS)

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        record = self.record
        for index in range(self._config.contexts):
            space = Signal(self._config.space_bits, name=f"space_{index}")
            vpn = Signal(VPN_BITS, name=f"vpn_{index}")
            in_space = record.any_space | (record.space == space)
            in_pages = record.any_page | (((record.vpn ^ vpn) & ~record.mask) == 0)
            line = vpn[LINE_PAGES_LOG2:]
            in_changed = self.changed & (self.changed_space == space) & (self.changed_vpn[LINE_PAGES_LOG2:] == line)
            own_space = self.space == space
            in_committed = self.committed & own_space & (self.vpn == vpn)
            in_surrounded = self.surrounded & own_space & (self.vpn[AROUND_PAGES_LOG2:] == vpn[AROUND_PAGES_LOG2:])
            in_updated = self.updated & (self.updated_space == space) & (self.updated_vpn == vpn)
            with m.If(self.watch & (self.agent == index)):
                m.d.sync += [space.eq(self.space), vpn.eq(self.vpn)]
                m.d.sync += [bits[index].eq(0) for bits in (self.stale, self.raced, self.table_raced)]
            with m.Else():
                with m.If(self.tabled & own_space):
                    m.d.sync += self.table_raced[index].eq(1)
                with m.If(self.invalidate & in_space & in_pages):
                    m.d.sync += self.stale[index].eq(1)
                with m.If(in_changed | in_committed | in_surrounded | in_updated):
                    m.d.sync += self.raced[index].eq(1)
        return m
