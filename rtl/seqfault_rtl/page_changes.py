"""Has anything changed since a walk began? Counts of changes, taken when a walk for a miss begins and compared when its fault begins to walk.

If the count is the same, what the miss's walk has read is what another walk would read, and R7 need not read it again: no entry for this page
was committed by the fault unit, and the command unit has done nothing. That is enough, because whatever else may fill an empty leaf
entry comes with a command: software writes entries of a VMA between a SEQ.BEGIN and a SEQ.END, or before it publishes the VMA.
[docs/software-contract.md, PTE locks]

A count can come round: after 2^16 commits for pages of the same number, or 2^24 commands, while one fault waits; as with the sequence counters of
Linux, that is taken for impossible. [protocol.md 9]
"""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .messages import ChangeCount
from .paging import VPN_BITS

__all__ = ["PageChanges"]

COUNTS_LOG2 = 4
"""Commits are counted by the low bits of the page number: those for other pages of the same can only cost a walk."""


class PageChanges(wiring.Component):
    """The counts.

    Members
    -------
    miss_vpn, miss_changes, fault_vpn, fault_changes : combinational queries: of the walk that begins, and of the fault that is about to walk.
    command : strobe: the command unit takes a step. committed, committed_vpn : strobe: the fault unit's entry for this page is visible.
        A query in the cycle of a strobe gives the count before it.
    """

    miss_vpn: In(VPN_BITS)
    miss_changes: Out(ChangeCount)
    fault_vpn: In(VPN_BITS)
    fault_changes: Out(ChangeCount)
    command: In(1)
    committed: In(1)
    committed_vpn: In(VPN_BITS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        commands = Signal.like(self.miss_changes.commands)
        m.d.sync += commands.eq(commands + self.command)
        m.submodules.commits = commits = Memory(shape=len(self.miss_changes.commits), depth=1 << COUNTS_LOG2, init=[])
        write, counted = commits.write_port(), commits.read_port(domain="comb")
        for vpn, changes in ((self.miss_vpn, self.miss_changes), (self.fault_vpn, self.fault_changes)):
            read = commits.read_port(domain="comb")
            m.d.comb += [read.addr.eq(vpn[:COUNTS_LOG2]), changes.commands.eq(commands), changes.commits.eq(read.data)]
        m.d.comb += [
            counted.addr.eq(self.committed_vpn[:COUNTS_LOG2]),
            write.addr.eq(self.committed_vpn[:COUNTS_LOG2]),
            write.data.eq(counted.data + 1),
            write.en.eq(self.committed),
        ]
        return m
